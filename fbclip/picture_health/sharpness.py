"""How sharp a picture is, whatever its exposure and contrast: fine detail against coarse detail. Pure."""

from __future__ import annotations

import math

import cv2
import numpy as np

from fbclip.images.geometry import FloatMap
from fbclip.picture_health.grey_view import GreyView

# Far below the rounding noise of 8 bits: a picture without any detail still has a finite sharpness.
_NOTHING = 1e-3


def sharpness(view: GreyView) -> float:
    """log2 of the energy of details of 1 to 2 px to that of 2 to 4 px, in pixels of the view.

    Less light or contrast scales both alike, blur takes the fine ones first.
    """
    fine = _blurred(view.grey, 1.0)
    middle = _blurred(view.grey, 2.0)
    # At half the size the same filter is half as wide and four times as fast.
    half = cv2.pyrDown(view.grey)
    coarse = _blurred(half, 0.75) - _blurred(half, 1.75)
    weight = weight_half = None
    if view.judged is not None:
        weight = cv2.erode(view.judged.astype(np.float32), np.ones((9, 9), np.uint8))
        weight_half = cv2.resize(weight, half.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return math.log2(_energy(fine - middle, weight)) - math.log2(_energy(np.asarray(coarse, np.float32), weight_half))


def _blurred(grey: FloatMap, sigma: float) -> FloatMap:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), np.float32)


def _energy(band: FloatMap, weight: FloatMap | None) -> float:
    if weight is None or not weight.any():
        return float(np.square(band).mean()) + _NOTHING
    return float((np.square(band) * weight).sum() / weight.sum()) + _NOTHING
