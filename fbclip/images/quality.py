"""Can an image be judged at all? Cheap checks on a subsampled view; pure.

The limits are conservative: they reject a covered lens, a dead exposure or a stuck camera, never an image
that is merely dark. What is rejected here gets no verdict, and never passes as ok.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fbclip.frozen import Frozen

_SIDE = 256


class QualitySettings(Frozen):
    """Grey levels are 0..255. `frozen_after`: so many identical frames in a row are a stuck camera; None: files."""

    black_mean: float = Field(3.0, ge=0)
    black_peak: int = Field(12, ge=0, le=255, description="99.9 % of all pixels are at or below")
    white_mean: float = Field(252.0, le=255)
    white_floor: int = Field(245, ge=0, le=255, description="99.9 % of all pixels are at or above")
    flat_range: int = Field(2, ge=0, le=255, description="largest spread of any channel in an image without contrast")
    frozen_after: int | None = Field(60, ge=2)


@dataclass(frozen=True)
class Fingerprint:
    """Digest of a frame's subsampled pixels, and how many identical frames in a row ended with it."""

    digest: bytes
    repeats: int = 1


@dataclass(frozen=True)
class QualityResult:
    """`reason` is None for an image that can be judged, else black, flat, overexposed or frozen."""

    reason: str | None
    fingerprint: Fingerprint


def quality(image: NDArray[np.uint8], previous: Fingerprint | None, settings: QualitySettings) -> QualityResult:
    """Check one frame (H,W,3) uint8 RGB; `previous` is the fingerprint of the frame before it on this line."""
    view = _view(image)
    # Sensor noise makes any two real exposures differ, so only exact equality counts as frozen.
    digest = hashlib.blake2b(repr(image.shape).encode() + view.tobytes(), digest_size=16).digest()
    repeats = previous.repeats + 1 if previous is not None and previous.digest == digest else 1
    reason = _fault(view, settings)
    if reason is None and settings.frozen_after is not None and repeats >= settings.frozen_after:
        reason = "frozen"
    return QualityResult(reason, Fingerprint(digest, repeats))


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
