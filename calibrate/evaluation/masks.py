"""Ground-truth masks: checked against their pictures before anything runs, then placed like the picture itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from calibrate.datasets.sample import Sample
from calibrate.datasets.sizes import measure
from calibrate.errors import DataError
from fbclip.decision import BoolMap, Placement
from fbclip.errors import ImageError
from fbclip.images import read_image


@dataclass(frozen=True)
class Faults:
    """pictures: unreadable ones, one line each; masks: path of the picture -> what is wrong with its mask."""

    pictures: tuple[str, ...]
    masks: dict[Path, str]


def find_faults(samples: Sequence[Sample], root: Path) -> Faults:
    """Read every file's header once, so that a long run does not end at a file that could have been named at once."""
    pictures: list[str] = []
    masks: dict[Path, str] = {}
    for sample in samples:
        measured = measure([sample], root)
        if not measured.sizes:
            pictures.append(measured.unreadable[0])
        elif measured.unreadable or measured.mask_sizes:
            masks[sample.path] = (*measured.unreadable, *measured.mask_sizes)[0]
    return Faults(tuple(pictures), masks)


def map_mask(mask: Path, placement: Placement, shape: tuple[int, int]) -> BoolMap:
    """Mask file of the picture's size -> bool of the map's `shape` (H,W).

    Cropped like the picture, then the released code's rule: what is not black is defect, bilinear to the map's size,
    above one half. Pillow's bilinear shrinks with antialiasing, so a defect of less than half a map pixel vanishes.
    Raises DataError for a file that cannot be decoded.
    """
    try:
        inside = read_image(mask).image.max(axis=2) > 0
    except (ImageError, OSError) as error:
        raise DataError(f"{mask}: cannot be read as a mask: {error}") from None
    p = placement
    crop = inside[p.y : p.y + p.height, p.x : p.x + p.width]
    picture = Image.fromarray(crop.astype(np.uint8) * 255)
    resized = np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))
    return np.asarray(resized > 127, dtype=np.bool_)
