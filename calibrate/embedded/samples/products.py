"""The demo's two products: sections of steel strip on a belt and ceramic coupons in an inbox, normal and anomalous.

Each product looks nearly the same from unit to unit, as in a controlled station; only pose, light and noise
vary a little. The recipes use numbers of their own, so that no demo image is a training image.
"""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.defects.kinds import paint
from calibrate.embedded.generator.scene import Scene, describe
from calibrate.surfaces.fields import Array, Size, relief, smooth, to_uint8, white

PRODUCTS = ("belt", "inbox")
SAMPLE_DEFECTS = ("scratch", "crack", "hole", "stain")
_ADJECTIVES = {"scratch": "scratched", "crack": "cracked", "hole": "punctured", "stain": "stained"}
_PRODUCT_SEED = 41
"""Fixes what all units of a product share: the grain of the belt, the glaze of the coupon."""
_LEAST_SHARE = 0.006
"""Least share of the frame a demo defect covers: it must be obvious to a person."""
_HALF_HEIGHT = 0.35
"""Half the strip's height in parts of the frame's."""
_MARGIN = 10
"""Pixels at the frame's edge that demo defects keep clear of."""


def belt_part(seed: int, defect: str | None = None, size: Size = (240, 320)) -> Scene:
    """A section of brushed steel strip, as wide as the frame, on a dark belt: uint8 RGB, (240,320,3) by default.

    `defect` is one of SAMPLE_DEFECTS or None; raises ValueError for another.
    """
    rng = np.random.default_rng((seed, 1))
    height, width = size
    shared = np.random.default_rng(_PRODUCT_SEED)
    ground = 0.13 + 0.008 * smooth(size, 40, shared)
    image = ground[..., None] * np.array([0.95, 1.0, 1.08], np.float32)
    # All sections come off one roll: the same grain but for where it begins.
    grain = cv2.blur(white((height + 16, width + 16), shared), (41, 1)) * 6.4
    cut = rng.integers(0, 16, 2)
    grain = grain[cut[0] : cut[0] + height, cut[1] : cut[1] + width]
    face = 0.55 + 0.02 * grain + 0.012 * smooth(size, 120, rng)
    steel = face[..., None] * np.array([0.97, 1.0, 1.02], np.float32)
    middle = height / 2 + rng.normal(0, 1.2)
    rows = np.arange(height, dtype=np.float32)[:, None] + np.zeros((1, width), np.float32)
    inside = _HALF_HEIGHT * height - np.abs(rows - np.float32(middle))
    body = np.clip(inside, 0, 1)[..., None]
    image = image + body * (steel - image)
    return photograph_unit(image, inside >= 1, "steel", "strip", defect, rng)


def inbox_part(seed: int, defect: str | None = None, size: Size = (256, 256)) -> Scene:
    """Close-up of a glazed ceramic coupon with a fine pressed grain, uint8 (256,256,3) by default."""
    rng = np.random.default_rng((seed, 2))
    shared = np.random.default_rng(_PRODUCT_SEED + 1)
    height, width = size
    offset = rng.integers(0, 12, 2)
    grain_size = (height + 12, width + 12)
    grain = relief(smooth(grain_size, 5, shared), 0.9)
    grain = grain[offset[0] : offset[0] + height, offset[1] : offset[1] + width]
    glaze = 0.66 + 0.016 * grain + 0.012 * smooth(size, 90, rng)
    image = glaze[..., None] * np.array([1.04, 1.0, 0.92], np.float32)
    return photograph_unit(image, np.ones(size, bool), "ceramic", "tile", defect, rng)


def photograph_unit(
    image: Array, region: Array, family: str, thing: str, defect: str | None, rng: np.random.Generator
) -> Scene:
    """Paint the defect, then the light and noise of the station."""
    mask = np.zeros(region.shape, bool)
    image = to_uint8(np.asarray(image, np.float32))
    if defect is not None:
        image, mask = paint_obvious(image, region, defect, rng)
    gain = 1 + rng.normal(0, 0.015) + 0.02 * rng.normal() * np.linspace(-1, 1, image.shape[1])[:, None]
    lit = image.astype(np.float32) / 255 * gain.astype(np.float32)
    lit = lit + 0.008 * white((image.shape[0], image.shape[1]), rng)[..., None]
    adjective = None if defect is None else _ADJECTIVES[defect]
    return Scene(to_uint8(lit), mask, int(mask.any()), family, defect, describe(family, thing, adjective))


def paint_obvious(image: Array, region: Array, defect: str, rng: np.random.Generator) -> tuple[Array, Array]:
    """The first of several tries that is large and strong enough, otherwise the most visible one."""
    if defect not in SAMPLE_DEFECTS:
        raise ValueError(f"unknown demo defect {defect!r}; known: {', '.join(SAMPLE_DEFECTS)}")
    inner = cv2.erode(np.pad(region.astype(np.uint8), 1), np.ones((9, 9), np.uint8))[1:-1, 1:-1] > 0
    frame = np.ones(region.shape, bool)
    frame[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = False
    attempts: list[tuple[float, Array, Array]] = []
    for _ in range(24):
        painted, mask = paint(defect, image, inner, rng)
        contrast = float(np.abs(painted.astype(np.float32) - image)[mask].mean())
        if mask.mean() >= _LEAST_SHARE and contrast >= 40 and not (mask & frame).any():
            return painted, mask
        attempts.append((contrast * float(mask.mean()), painted, mask))
    _, painted, mask = max(attempts, key=lambda attempt: attempt[0])
    return painted, mask
