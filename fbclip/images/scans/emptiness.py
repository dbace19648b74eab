"""Slices that show next to nothing, as at the ends of a volume, are not judged: air shows no defect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fbclip.errors import ImageError
from fbclip.images.picture import SliceFacts

_DARK, _LEAST = 25, 0.01
"""A grey level, a tenth of all, that background does not exceed; and the share of pixels that must exceed it."""


def is_empty(pixels: NDArray[np.uint8]) -> bool:
    """Of one slice, (H,W) or (H,W,3): fewer than 1 % of its pixels stand out from black."""
    return float((pixels > _DARK).mean()) < _LEAST


def keep_full(pixels: NDArray[np.uint8], slices: Sequence[SliceFacts]) -> tuple[NDArray[np.uint8], list[SliceFacts]]:
    """Slices (N,H,W[,3]) and what is known of them, without the empty ones; a single image is kept as it is.

    Raises ImageError `flat` where all of several are empty.
    """
    if len(slices) == 1:
        return pixels, list(slices)
    kept = [index for index in range(len(slices)) if not is_empty(pixels[index])]
    if not kept:
        raise ImageError("flat", "every slice is empty")
    if len(kept) == len(slices):
        return pixels, list(slices)
    return pixels[kept], [slices[index] for index in kept]
