"""Where a defect goes: a window of the image around a position in the region, and how large the defect shall be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from calibrate.surfaces.fields import Array, log_uniform

LEAST_RADIUS = 2.5
"""Pixels; anything smaller is lost in the camera's noise."""
_MARGIN = 8


@dataclass(frozen=True, eq=False)
class Site:
    """A window to paint in: image float32 (h,w,3) in 0..255, region bool (h,w), the position (x, y) in it.

    `radius` is that of a disc with the area to fill; `scale` is 1 up to 256 px and grows with larger images.
    `whole` uint8 (H,W,3) and `whole_region` bool (H,W) are what the window was cut from.
    """

    image: Array
    region: Array
    x: float
    y: float
    radius: float
    scale: float
    whole: Array
    whole_region: Array

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the window."""
        return self.region.shape[0], self.region.shape[1]

    def grid(self) -> tuple[Array, Array]:
        """Distances (dx, dy) from the position, float32 (h,w) each."""
        ys, xs = np.mgrid[: self.region.shape[0], : self.region.shape[1]].astype(np.float32)
        return xs - np.float32(self.x), ys - np.float32(self.y)

    def level(self, alpha: Array) -> float:
        """Mean grey level under alpha (h,w)."""
        inside = alpha > 0
        return float(self.image[inside].mean()) if inside.any() else float(self.image.mean())


@dataclass(frozen=True)
class Extent:
    """Area of a defect in parts of the region's, log-uniform; `reach` is the window's half side in radii."""

    low: float = 0.001
    high: float = 0.25
    reach: float = 2.6
    at: Literal["any", "rim", "busy"] = "any"
    """Anywhere, at the region's outline, or where the image has structure."""


EVERY_SIZE = Extent()
_LOST = 1.4
"""Radii are enlarged by this: soft edges and what lies outside the region are lost."""


def choose_site(
    image: Array, region: Array, extent: Extent, rng: np.random.Generator
) -> tuple[Site, tuple[slice, slice]]:
    """A random site on uint8 (H,W,3) inside region bool (H,W), and its window there."""
    height, width = region.shape
    share = log_uniform(rng, extent.low, extent.high)
    radius = max(LEAST_RADIUS, float(_LOST * np.sqrt(share * region.sum() / np.pi)))
    where = _rim(region) if extent.at == "rim" else region
    flat = np.flatnonzero(where)
    positions = [divmod(int(i), width) for i in flat[rng.integers(0, len(flat), 6 if extent.at == "busy" else 1)]]
    near = int(radius) + 3
    y, x = max(
        positions,
        key=lambda p: float(
            image[max(0, p[0] - near) : p[0] + near : 2, max(0, p[1] - near) : p[1] + near : 2, 1].std()
        ),
    )
    half = int(extent.reach * radius) + _MARGIN
    top, left = max(0, y - half), max(0, x - half)
    window = (slice(top, min(height, y + half + 1)), slice(left, min(width, x + half + 1)))
    site = Site(
        image[window].astype(np.float32),
        region[window],
        float(x - left),
        float(y - top),
        radius,
        max(1.0, min(height, width) / 256),
        image,
        region,
    )
    return site, window


def blur(field: Array, sigma: float) -> Array:
    """A field (h,w) blurred; a wide blur is made of two box filters, whose cost does not grow with it."""
    if sigma <= 3:
        return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma))
    side = 2 * round(1.22 * sigma) + 1
    return np.asarray(cv2.blur(cv2.blur(field, (side, side)), (side, side)))


def _rim(region: Array) -> Array:
    """The outermost pixels of a region; the frame's edge counts as outline."""
    inner = cv2.erode(np.pad(region.astype(np.uint8), 1), np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    return np.asarray(region & (inner == 0))
