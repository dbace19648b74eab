"""How sharp a picture is, whatever its exposure and contrast: fine detail against coarse detail. Pure."""

from __future__ import annotations

import math

import cv2
import numpy as np

from fbclip.images.geometry import FloatMap
from fbclip.picture_health.grey_view import GreyView

BLOCK = 16
"""Side of a block in pixels of the view."""
# A picture without any detail still has a finite sharpness.
_NOTHING = 1e-4


def sharpness(view: GreyView) -> float:
    """log2 of the energy of details of 1 to 2 px to that of 2 to 4 px, in pixels of the view.

    Less light or contrast scales both alike, blur takes the fine ones first. Both are summed over blocks, of which none
    counts much, so that a defect with strong edges does not count as blur.
    """
    fine = _blurred(view.grey, 1.0) - _blurred(view.grey, 2.0)
    # At half the size the same filter is half as wide and four times as fast.
    half = np.asarray(cv2.pyrDown(view.grey), np.float32)
    coarse = _blurred(half, 0.75) - _blurred(half, 1.75)
    rows, columns = (max(1, round(side / BLOCK)) for side in view.grey.shape)
    fine_energy = _block_means(np.asarray(np.square(fine), np.float32), rows, columns)
    coarse_energy = _block_means(np.asarray(np.square(coarse), np.float32), rows, columns)
    if view.judged is not None:
        # Blocks that touch what is not judged show its edge.
        judged = np.asarray(cv2.erode(view.judged.astype(np.float32), np.ones((23, 23), np.uint8)), np.float32)
        whole = _block_means(judged, rows, columns) > 0.99
        if whole.any():
            fine_energy, coarse_energy = fine_energy[whole], coarse_energy[whole]
    # Each block counts for its share of 1, however strong its edges are: of the strongest ones a defect may make many.
    weight = 1 / (coarse_energy + coarse_energy.mean() + _NOTHING)
    fine_part, coarse_part = float((fine_energy * weight).mean()), float((coarse_energy * weight).mean())
    return math.log2((fine_part + _NOTHING) / (coarse_part + _NOTHING))


def _blurred(grey: FloatMap, sigma: float) -> FloatMap:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), np.float32)


def _block_means(values: FloatMap, rows: int, columns: int) -> FloatMap:
    return np.asarray(cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
