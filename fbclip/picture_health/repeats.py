"""Is a frame of a live source a new one? A stuck camera repeats its last frame to the bit. Pure."""

from __future__ import annotations

import numpy as np

from fbclip.images.geometry import RgbImage

_STEP = 16


def is_repeat(image: RgbImage, previous: RgbImage | None) -> bool:
    """Whether every value of two frames (H,W,3) is the same.

    Noise makes any two exposures differ, so nothing less than all of the frame says that it was sent twice. A subsample
    tells nearly all new frames apart and saves the rest.
    """
    if previous is None or previous.shape != image.shape:
        return False
    if not np.array_equal(image[::_STEP, ::_STEP], previous[::_STEP, ::_STEP]):
        return False
    return bool(np.array_equal(image, previous))
