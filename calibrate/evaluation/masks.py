"""Ground-truth masks: checked against their images before anything runs, then placed like the image itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calibrate.datasets.masks import resize_mask
from calibrate.datasets.sample import Sample
from calibrate.datasets.sizes import measure
from calibrate.errors import DataError
from fbclip.errors import ImageError
from fbclip.images.decode import read_image
from fbclip.images.geometry import BoolMap, Placement


@dataclass(frozen=True)
class Faults:
    """images: unreadable ones, one line each; masks: path of the image -> what is wrong with its mask."""

    images: tuple[str, ...]
    masks: dict[Path, str]


def find_faults(samples: Sequence[Sample], root: Path) -> Faults:
    """Read every file's header once, so that a long run does not end at a file that could have been named at once."""
    images: list[str] = []
    masks: dict[Path, str] = {}
    for sample in samples:
        measured = measure([sample], root)
        if not measured.sizes:
            images.append(measured.unreadable[0])
        elif measured.unreadable or measured.mask_sizes:
            masks[sample.path] = (*measured.unreadable, *measured.mask_sizes)[0]
    return Faults(tuple(images), masks)


def map_mask(mask: Path, placement: Placement, shape: tuple[int, int]) -> BoolMap:
    """Mask file of the image's size -> bool of the map's `shape` (H,W).

    What is not black is defect. Raises DataError for a file that cannot be decoded.
    """
    try:
        inside = read_image(mask).image.max(axis=2) > 0
    except (ImageError, OSError) as error:
        raise DataError(f"{mask}: cannot be read as a mask: {error}") from error
    return resize_mask(inside, placement, shape)
