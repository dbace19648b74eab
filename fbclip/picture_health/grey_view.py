"""The small grey picture that all checks look at: the line's region of interest, without what is not judged. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fbclip.images.framing import Framing
from fbclip.images.geometry import BoolMap, FloatMap, RgbImage
from fbclip.images.preprocess import roi_placement

SIDE = 512
"""Longer side in pixels at most: enough to see blur that a network's input of 256 to 512 px would see."""


@dataclass(frozen=True, eq=False)
class GreyView:
    """grey (h,w) float32 in 0..255; judged (h,w) bool, None where all of it is; width and height in frame pixels."""

    grey: FloatMap
    judged: BoolMap | None
    width: int
    height: int

    def resized(self, shape: tuple[int, int]) -> FloatMap:
        """Stretched to (rows, columns), with a plain grey where nothing is judged."""
        grey = self.grey
        if self.judged is not None:
            grey = np.where(self.judged, grey, grey[self.judged].mean()).astype(np.float32)
        return np.asarray(cv2.resize(grey, shape[::-1], interpolation=cv2.INTER_AREA), np.float32)

    def judged_in(self, shape: tuple[int, int]) -> FloatMap | None:
        """1 where judged, 0 elsewhere, stretched to (rows, columns)."""
        if self.judged is None:
            return None
        share = cv2.resize(self.judged.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)
        return np.asarray(share > 0.99, np.float32)


def grey_view(image: RgbImage, framing: Framing) -> GreyView:
    """RGB uint8 (H,W,3); a mask in `framing` must be of the frame's size."""
    place = roi_placement(image.shape[0], image.shape[1], framing.roi)
    rows, columns = slice(place.y, place.y + place.height), slice(place.x, place.x + place.width)
    grey = np.asarray(cv2.cvtColor(np.ascontiguousarray(image[rows, columns]), cv2.COLOR_RGB2GRAY), np.uint8)
    scale = min(1.0, SIDE / max(place.width, place.height))
    size = (max(1, round(place.width * scale)), max(1, round(place.height * scale)))
    while max(grey.shape) >= 2 * SIDE:
        # Halving is many times as fast as any other reduction by area.
        even = grey[: grey.shape[0] // 2 * 2 or 1, : grey.shape[1] // 2 * 2 or 1]
        halved = (max(1, even.shape[1] // 2), max(1, even.shape[0] // 2))
        grey = np.asarray(cv2.resize(even, halved, interpolation=cv2.INTER_AREA), np.uint8)
    small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
    judged = None
    if framing.mask is not None:
        ignored = np.ascontiguousarray(framing.mask[rows, columns]).astype(np.float32)
        judged = np.asarray(cv2.resize(ignored, size, interpolation=cv2.INTER_AREA) <= 0, np.bool_)
        if not judged.any():
            # Nothing of it is judged: the detector says so, with its own reason.
            judged = None
    return GreyView(small, judged, place.width, place.height)


def reference_shape(view: GreyView, side: int) -> tuple[int, int]:
    """(rows, columns) of a reference picture in this view's proportions, at most `side` a side, at least 8."""
    rows, columns = view.grey.shape
    scale = min(1.0, side / max(rows, columns))
    return max(8, round(rows * scale)), max(8, round(columns * scale))
