"""An image beside its heat map, small enough for a report."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fbclip.images.geometry import FloatMap, Placement, RgbImage
from fbclip.images.heat_map import blend_heat_map

MAX_WIDTH = 640
MAX_HEIGHT = 640
QUALITY = 88
MIN_SPAN = 0.5
"""Margins; a scale narrower than this would paint noise hot."""


def fixed_limits(normal_peaks: Sequence[float]) -> tuple[float, float]:
    """One scale for a whole run, from the maps' largest margins of its normal images, at least one of them.

    Cold is what normal images typically reach, hot is as far above what nearly none reaches as that lies above cold.
    """
    cold, rare = (float(v) for v in np.quantile(np.array(normal_peaks), (0.5, 0.995)))
    return cold, cold + max(2 * (rare - cold), MIN_SPAN)


def side_by_side(image: RgbImage, margins: FloatMap, placement: Placement, limits: tuple[float, float]) -> bytes:
    """RGB (H,W,3) uint8 and its map (h,w) at `placement` -> JPEG: the image left, the same with heat right.

    `limits` are the margins of no heat and of full heat; they never come from the image itself.
    """
    height, width = image.shape[:2]
    scale = min(1.0, MAX_WIDTH / 2 / width, MAX_HEIGHT / height)
    size = max(1, int(width * scale)), max(1, int(height * scale))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    left, right = (round(x * size[0] / width) for x in (placement.x, placement.x + placement.width))
    top, bottom = (round(y * size[1] / height) for y in (placement.y, placement.y + placement.height))
    drawn = small.copy()
    inside = drawn[top:bottom, left:right]
    if inside.size:
        inside[:] = blend_heat_map(inside, margins, limits)
    both = cv2.cvtColor(np.hstack((small, drawn)), cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", both, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
