"""An image under its heat map; the page, the saved images and the reports all use these colours."""

from __future__ import annotations

import cv2
import numpy as np

from fbclip.images.geometry import FloatMap, RgbImage

OPACITY = 0.65
_ROWS = 256


def blend_heat_map(image: RgbImage, margins: FloatMap, limits: tuple[float, float]) -> RgbImage:
    """RGB (h,w,3) uint8 with its map (S,S) float32 stretched over it; a NaN is cold.

    `limits` are the margins of no heat and of full heat; they belong to a profile or a run, never to the image, so
    that a normal part looks cold and two images can be compared.
    """
    low, high = limits
    heat = np.clip((margins.astype(np.float32) - low) / (high - low), 0, 1)
    levels = np.rint(np.nan_to_num(heat * 255, nan=0.0)).astype(np.uint8)
    height, width = image.shape[:2]
    method = cv2.INTER_AREA if width < levels.shape[1] and height < levels.shape[0] else cv2.INTER_LINEAR
    levels = np.asarray(cv2.resize(levels, (width, height), interpolation=method), np.uint8)
    out = image.copy()
    # In stripes, so that an image of 80 megapixels does not need gigabytes.
    for top in range(0, height, _ROWS):
        stripe, level = out[top : top + _ROWS], levels[top : top + _ROWS]
        colours = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
        alpha = (level.astype(np.float32) * (OPACITY / 255))[..., None]
        stripe[:] = (stripe + alpha * (colours.astype(np.float32) - stripe) + 0.5).astype(np.uint8)
    return out
