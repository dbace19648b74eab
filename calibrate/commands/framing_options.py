"""Options of which part of a frame is looked at, and how; shared by several commands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from fbclip.artefacts.profile import IgnoreMask
from fbclip.errors import ConfigError, ImageError
from fbclip.files import file_sha256
from fbclip.images.decode import read_image
from fbclip.images.framing import Framing, mask_from
from fbclip.images.geometry import Roi
from fbclip.images.tiling import Tiling
from fbclip.images.window import DEFAULT_WINDOW, Window, parse_window

TilesOption = Annotated[str | None, typer.Option(help="COLUMNSxROWS: judge large images in overlapping tiles")]
OverlapOption = Annotated[float, typer.Option(help="share of a tile's side that neighbours have in common")]
WindowOption = Annotated[
    str,
    typer.Option(help="what is black and white: dicom (a scan's own window), full, percentile, or LOW,HIGH in values"),
]
IgnoreMaskOption = Annotated[Path | None, typer.Option(help="image of a frame's size, white where nothing is judged")]
RoiOption = Annotated[str | None, typer.Option(help="x1,y1,x2,y2 as fractions of the frame")]


@dataclass(frozen=True)
class FramingOptions:
    """Which part of a frame is looked at, and how."""

    roi: RoiOption = None
    tiles: TilesOption = None
    overlap: OverlapOption = 0.2
    ignore_mask: IgnoreMaskOption = None
    window: WindowOption = DEFAULT_WINDOW

    def framing(self) -> Framing:
        """The same as one value; raises ConfigError naming the option that is wrong."""
        return parse_framing(self.roi, self.tiles, self.overlap, self.ignore_mask, self.window)


def mask_beside(profile: Path, mask: Path) -> IgnoreMask:
    """A profile and its mask travel together, so the mask is copied beside it under the profile's name."""
    return IgnoreMask(file=f"{profile.stem}.ignore{mask.suffix.lower()}", sha256=file_sha256(mask))


def parse_framing(
    roi: str | None, tiles: str | None, overlap: float, ignore_mask: Path | None, window: str = DEFAULT_WINDOW
) -> Framing:
    """The options of preprocessing as one value; raises ConfigError naming the option that is wrong."""
    mask = None
    if ignore_mask is not None:
        try:
            mask = mask_from(read_image(ignore_mask).image)
        except ImageError as error:
            raise ConfigError(f"--ignore-mask {ignore_mask}: {error}") from error
    return Framing(_parse_roi(roi), _parse_tiles(tiles, overlap), mask, _parse_window(window))


def _parse_window(text: str) -> Window:
    try:
        return parse_window(text)
    except ValueError as error:
        raise ConfigError(f"--window {text!r} must be dicom, full, percentile, or LOW,HIGH with LOW < HIGH") from error


def _parse_roi(text: str | None) -> Roi | None:
    if text is None:
        return None
    try:
        x1, y1, x2, y2 = (float(v) for v in text.split(","))
        return Roi(x1=x1, y1=y1, x2=x2, y2=y2)
    except (ValueError, ValidationError) as error:
        raise ConfigError(f"--roi {text!r} must be x1,y1,x2,y2 with 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1") from error


def _parse_tiles(text: str | None, overlap: float) -> Tiling | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,3})x(\d{1,3})", text)
    if match is None:
        raise ConfigError(f"--tiles {text!r} must be COLUMNSxROWS, such as 3x2")
    try:
        return Tiling(columns=int(match[1]), rows=int(match[2]), overlap=overlap)
    except ValidationError as error:
        first = error.errors()[0]
        field = f" {first['loc'][0]}" if first["loc"] else ""
        why = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"--tiles {text} --overlap {overlap}:{field} {why}") from error
