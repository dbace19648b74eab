"""Ground-truth masks: read from their files, and brought to the size of a map by the released code's rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from calibrate.datasets.sample import Sample
from calibrate.errors import DataError
from fbclip.errors import ImageError
from fbclip.images.decode import read_image
from fbclip.images.geometry import BoolMap, Placement


def read_mask(path: Path) -> BoolMap:
    """Mask file -> bool (H,W) in its own pixels: what is not black is defect; of a JPEG, what is rather white.

    Raises DataError for a file that cannot be decoded.
    """
    try:
        levels = read_image(path).image.max(axis=2)
    except (ImageError, OSError) as error:
        raise DataError(f"{path}: cannot be read as a mask: {error}") from error
    # Around an edge a JPEG is neither black nor white.
    return np.asarray(levels > (127 if path.suffix.casefold() in {".jpg", ".jpeg"} else 0), dtype=np.bool_)


def resize_mask(inside: BoolMap, placement: Placement, shape: tuple[int, int]) -> BoolMap:
    """bool (H,W) in the image's pixels -> bool of `shape`: cropped like the image, bilinear, above one half.

    Pillow's bilinear shrinks with antialiasing, so a defect of less than half a map pixel vanishes.
    """
    p = placement
    crop = inside[p.y : p.y + p.height, p.x : p.x + p.width]
    image = Image.fromarray(crop.astype(np.uint8) * 255)
    resized = np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))
    return np.asarray(resized > 127, dtype=np.bool_)


def map_mask(path: Path, placement: Placement, shape: tuple[int, int]) -> BoolMap:
    """Mask file of its image's size -> bool of the map's `shape` (H,W). Raises DataError as `read_mask` does."""
    return resize_mask(read_mask(path), placement, shape)


def true_mask(sample: Sample, placement: Placement, shape: tuple[int, int]) -> BoolMap | None:
    """Which pixels of a map of `shape` (H,W) are anomalous: of a normal image none; None where nobody knows.

    Raises DataError for a mask that cannot be read.
    """
    if not sample.label:
        return np.zeros(shape, dtype=np.bool_)
    return None if sample.mask is None else map_mask(sample.mask, placement, shape)
