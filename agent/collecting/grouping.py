"""Which frames show the same part: by a pause between them, by the id of a trigger, or by the picture. Pure.

A grouping takes what is known of one frame after the other and answers with the number of the unit, from 1, or None
for a frame that belongs to none. What is in doubt goes to a unit that is there already: too few units make
`calibrate threshold` ask for more, too many make it promise what it cannot keep.
"""

from __future__ import annotations

import statistics
from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from fbclip.images.geometry import RgbImage

SIDE = 32
NOISE_FRAMES = 8
"""Differences of successive frames that have to be known before any picture counts as changed."""
NOISE_WINDOW = 200
NOISE_TIMES = 4.0
"""A changed picture differs by more than so many times what successive frames usually differ by."""
LEAST_CHANGE = 0.5
"""Grey levels of 255: of a picture that stands still the noise may be nothing at all."""

SmallPicture = NDArray[np.float32]


def small_picture(image: RgbImage) -> SmallPicture:
    """RGB uint8 (H,W,3) -> grey (SIDE,SIDE) less its mean, so that a flickering lamp is no change."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)
    return np.asarray(small - small.mean(), np.float32)


def picture_distance(one: SmallPicture, other: SmallPicture) -> float:
    """Root mean square difference in grey levels."""
    return float(np.sqrt(np.mean((one - other) ** 2)))


class GapGrouping:
    """A pause of more than `gap_s` seconds since the frame before starts a unit."""

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._last: float | None = None
        self._unit = 0

    def unit_of(self, seconds: float) -> int:
        if self._last is None or seconds - self._last > self._gap_s:
            self._unit += 1
        self._last = seconds
        return self._unit


class TriggerGrouping:
    """Frames of the same part id are one unit, also where other parts came between."""

    def __init__(self) -> None:
        self._units: dict[str, int] = {}

    def unit_of(self, part: str) -> int:
        return self._units.setdefault(part, len(self._units) + 1)


class ChangeGrouping:
    """A picture that has changed and come to rest starts a unit, unless it looks like one that was there before.

    It has changed when it differs from the first frame of every unit by more than the limit: NOISE_TIMES the median
    difference between successive frames, of the last NOISE_WINDOW. It is at rest when it differs from the frame
    before by no more than that; what moves in between belongs to no unit.
    """

    def __init__(self) -> None:
        self._differences: deque[float] = deque(maxlen=NOISE_WINDOW)
        self._firsts: list[SmallPicture] = []
        self._before: SmallPicture | None = None

    @property
    def limit(self) -> float | None:
        """Grey levels; None while too few frames were seen."""
        if len(self._differences) < NOISE_FRAMES:
            return None
        return max(LEAST_CHANGE, NOISE_TIMES * statistics.median(self._differences))

    def unit_of(self, picture: SmallPicture) -> int | None:
        step = None if self._before is None else picture_distance(picture, self._before)
        self._before = picture
        if step is None:
            self._firsts.append(picture)
            return 1
        self._differences.append(step)
        limit = self.limit
        if limit is None or step > limit:
            return None
        distances = np.sqrt(np.mean((np.stack(self._firsts) - picture) ** 2, axis=(1, 2)))
        nearest = int(distances.argmin())
        if distances[nearest] > limit:
            self._firsts.append(picture)
            return len(self._firsts)
        return nearest + 1
