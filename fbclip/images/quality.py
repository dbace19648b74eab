"""Can an image be judged at all? Cheap checks on a subsampled view; pure.

The limits are the same for every line and conservative: they reject a covered lens or a dead exposure, never an image
that is merely dark. What a line's own pictures look like is `fbclip/picture_health`. What is rejected gets no verdict,
and never passes as ok.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fbclip.frozen import Frozen

_SIDE = 256


class QualitySettings(Frozen):
    """Grey levels are 0..255."""

    black_mean: float = Field(3.0, ge=0)
    black_peak: int = Field(12, ge=0, le=255, description="99.9 % of all pixels are at or below")
    white_mean: float = Field(252.0, le=255)
    white_floor: int = Field(245, ge=0, le=255, description="99.9 % of all pixels are at or above")
    flat_range: int = Field(2, ge=0, le=255, description="largest spread of any channel in an image without contrast")


def image_fault(image: NDArray[np.uint8], settings: QualitySettings) -> str | None:
    """black, overexposed or flat; None for an image (H,W,3) uint8 RGB that can be judged."""
    return _fault(_view(image), settings)


def _view(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every n-th pixel, about 256 along the longer side; strides, so nothing of the full frame is read."""
    step = max(1, max(image.shape[:2]) // _SIDE)
    return np.ascontiguousarray(image[::step, ::step])


def _fault(view: NDArray[np.uint8], settings: QualitySettings) -> str | None:
    channels = [np.bincount(view[:, :, c].ravel(), minlength=256) for c in range(3)]
    counts = np.sum(channels, axis=0)
    total = int(counts.sum())
    mean = float(counts @ np.arange(256)) / total
    below = np.cumsum(counts)
    rest = total // 1000
    if mean <= settings.black_mean and int(np.searchsorted(below, total - rest)) <= settings.black_peak:
        return "black"
    if mean >= settings.white_mean and int(np.searchsorted(below, rest, side="right")) >= settings.white_floor:
        return "overexposed"
    # A channel at a time: a plain red image has high and low values, but no contrast.
    spreads = [int(levels[-1] - levels[0]) for levels in (np.flatnonzero(c) for c in channels)]
    return "flat" if max(spreads) <= settings.flat_range else None
