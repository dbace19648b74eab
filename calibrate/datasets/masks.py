"""A ground-truth mask brought to the size of a map, by the released code's rule."""

from __future__ import annotations

import numpy as np
from PIL import Image

from fbclip.images.geometry import BoolMap, Placement


def resize_mask(inside: BoolMap, placement: Placement, shape: tuple[int, int]) -> BoolMap:
    """bool (H,W) in the image's pixels -> bool of `shape`: cropped like the image, bilinear, above one half.

    Pillow's bilinear shrinks with antialiasing, so a defect of less than half a map pixel vanishes.
    """
    p = placement
    crop = inside[p.y : p.y + p.height, p.x : p.x + p.width]
    image = Image.fromarray(crop.astype(np.uint8) * 255)
    resized = np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))
    return np.asarray(resized > 127, dtype=np.bool_)
