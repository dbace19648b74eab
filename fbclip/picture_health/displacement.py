"""How far a picture lies from the line's reference picture: shift and rotation, by correlation over all of both. Pure.

Only structure counts: both pictures are band-passed and brought to length 1, so light and contrast do not matter. Where
several places fit about as well (a sheet that looks the same along the belt) the nearest one is taken: a picture is
said to have moved only if no place near home explains it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import fft

from fbclip.images.geometry import FloatMap
from fbclip.picture_health.grey_view import GreyView

REFERENCE_SIDE = 96
"""Longer side of a reference picture in pixels."""
ANGLES = tuple(float(a) for a in range(-12, 13))
FARTHEST = 0.3
"""Shifts are looked for up to this share of each side; beyond, too little of both pictures is the same."""
_AS_GOOD = 0.9
_FINE, _COARSE = 1.0, 6.0


@dataclass(frozen=True)
class Displacement:
    """right, down: shares of width and height that the content has moved by; turned: degrees counter-clockwise.

    size: the root mean square way of all points, as a share of the longer side; agreement: the best correlation, -1..1.
    """

    right: float
    down: float
    turned: float
    size: float
    agreement: float


class Alignment:
    """A reference picture (h,w) float32, with all that can be computed of it before a frame comes."""

    def __init__(self, reference: FloatMap, judged: FloatMap | None = None) -> None:
        rows, columns = reference.shape
        self.shape = (rows, columns)
        window = np.outer(_taper(rows), _taper(columns)).astype(np.float32)
        self._weight = window if judged is None else window * judged
        centre = ((columns - 1) / 2, (rows - 1) / 2)
        spectra = []
        for angle in ANGLES:
            turn = cv2.getRotationMatrix2D(centre, angle, 1.0)
            turned = cv2.warpAffine(reference, turn, (columns, rows), borderMode=cv2.BORDER_REPLICATE)
            spectra.append(np.conj(fft.rfft2(self._structure(np.asarray(turned, np.float32)))))
        self._spectra = np.stack(spectra)
        down, right = np.meshgrid(fft.fftfreq(rows, 1 / rows), fft.fftfreq(columns, 1 / columns), indexing="ij")
        self._near = (np.abs(down) <= FARTHEST * rows) & (np.abs(right) <= FARTHEST * columns)
        turns = np.radians(ANGLES)[:, None] * math.hypot(rows, columns) / math.sqrt(12)
        ways = np.hypot(np.hypot(down, right)[self._near][None], turns)
        self._ways = (ways / max(rows, columns)).astype(np.float32)
        self._down, self._right = down[self._near] / rows, right[self._near] / columns

    def of(self, view: GreyView) -> Displacement:
        """Where this picture's content lies."""
        spectrum = fft.rfft2(self._structure(view.resized(self.shape)))
        found = fft.irfft2(self._spectra * spectrum, s=self.shape)[:, self._near]
        best = float(found.max())
        ways = np.where(found >= _AS_GOOD * best, self._ways, np.inf) if best > 0 else self._ways
        turn, place = np.unravel_index(int(ways.argmin()), ways.shape)
        size = float(self._ways[turn, place])
        return Displacement(float(self._right[place]), float(self._down[place]), ANGLES[turn], size, best)

    def _structure(self, grey: FloatMap) -> FloatMap:
        """Band-passed, without a mean, faded out at the edges, of length 1."""
        band = cv2.GaussianBlur(grey, (0, 0), _FINE) - cv2.GaussianBlur(grey, (0, 0), _COARSE)
        total = float(self._weight.sum())
        mean = float((band * self._weight).sum()) / total if total else 0.0
        faded = (band - mean) * self._weight
        return np.asarray(faded / (np.linalg.norm(faded) + 1e-6), np.float32)


def _taper(length: int) -> FloatMap:
    """1 in the middle half, a cosine to 0 at both ends."""
    edge = max(1, length // 4)
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    taper = np.ones(length, np.float32)
    taper[:edge], taper[length - edge :] = rise, rise[::-1]
    return taper
