"""Pictures for the page: a frame under its heat map, on the profile's fixed scale, with the contours of its regions."""

from __future__ import annotations

import cv2
import numpy as np

from agent.pipeline.evidence import overlay
from agent.pipeline.judged import Judged
from fbclip.decision import Region
from fbclip.images.geometry import Placement, RgbImage

LONGEST_SIDE = 800
# Dark inside light stands out on any picture and on any heat.
_EDGE, _LINE = (20, 20, 20), (255, 255, 255)


def frame_picture(judged: Judged) -> RgbImage | None:
    """The last frame, small enough for the page."""
    return None if judged.frame.image is None else shrink(judged.frame.image)


def heat_picture(judged: Judged) -> RgbImage | None:
    """(H,W,3) uint8 RGB; None where there is no map."""
    image, margins, placement, limits = judged.frame.image, judged.margins, judged.placement, judged.limits
    if image is None or margins is None or placement is None or limits is None:
        return None
    # What is shrunk first costs a tenth of what it would afterwards.
    small = shrink(image)
    scale = small.shape[1] / image.shape[1]
    place = _scaled(placement, scale, small)
    out = overlay(small, margins, place, limits)
    regions = judged.inspection.decision.regions
    if regions and judged.level is not None:
        _draw_contours(out, np.asarray(margins, np.float32), place, judged.level, regions, scale)
    return out


def shrink(image: RgbImage) -> RgbImage:
    """To LONGEST_SIDE at most."""
    height, width = image.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _scaled(place: Placement, scale: float, image: RgbImage) -> Placement:
    """The same place in the smaller image, one pixel large at least and inside it."""
    height, width = image.shape[:2]
    x, y = min(round(place.x * scale), width - 1), min(round(place.y * scale), height - 1)
    right = min(width, max(x + 1, round((place.x + place.width) * scale)))
    bottom = min(height, max(y + 1, round((place.y + place.height) * scale)))
    return Placement(x, y, right - x, bottom - y)


def _draw_contours(
    out: RgbImage,
    margins: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    place: Placement,
    level: float,
    regions: tuple[Region, ...],
    scale: float,
) -> None:
    """Around what lies above `level` inside a region's box: a small speck, or one that is masked out, is no region."""
    size = (place.width, place.height)
    above = (cv2.resize(margins, size, interpolation=cv2.INTER_LINEAR) > np.float32(level)).astype(np.uint8)
    kept = np.zeros_like(above)
    for region in regions:
        x1, y1, x2, y2 = (round(value * scale) for value in region.box)
        rows = slice(max(0, y1 - place.y - 1), max(0, y2 - place.y + 1))
        columns = slice(max(0, x1 - place.x - 1), max(0, x2 - place.x + 1))
        kept[rows, columns] = above[rows, columns]
    contours, _ = cv2.findContours(kept, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(place.x, place.y))
    thickness = max(1, round(max(out.shape[:2]) / 400))
    cv2.drawContours(out, contours, -1, _EDGE, thickness + 2)
    cv2.drawContours(out, contours, -1, _LINE, thickness)
