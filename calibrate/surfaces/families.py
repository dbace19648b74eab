"""The surface families by name, and which of them train, tune and test: `surface(name, size, rng)`.

A surface fills the frame and has no defect.
"""

from __future__ import annotations

import numpy as np

from calibrate.surfaces import goods, graphics, materials, medical_optics, patterns, radiology, sheets
from calibrate.surfaces.fields import Array, Maker, Size

MAKERS: dict[str, Maker] = {
    **materials.MAKERS,
    **patterns.MAKERS,
    **graphics.MAKERS,
    **radiology.MAKERS,
    **medical_optics.MAKERS,
    **sheets.MAKERS,
    **goods.MAKERS,
}
"""The order counts: a seed picks a family by its number."""
TEST_FAMILIES: tuple[str, ...] = (
    "leather",
    "tiled",
    "knurled",
    "biscuit",
    "ultrasound",
    "dial",
    "knitted",
    "milled metal",
)
"""Held out from all training."""
ADAPTER_FAMILIES: tuple[str, ...] = ("twill", "retina", "drawing", "foam", "turned metal", "mesh", "pills")
"""Held out from the backbone; the adapter is tuned on them."""
HELD_OUT_FAMILIES: tuple[str, ...] = TEST_FAMILIES + ADAPTER_FAMILIES
TRAIN_FAMILIES: tuple[str, ...] = tuple(n for n in MAKERS if n not in HELD_OUT_FAMILIES)
ALL_FAMILIES: tuple[str, ...] = tuple(MAKERS)
WHOLE_FRAME_FAMILIES: frozenset[str] = frozenset(
    (*radiology.MAKERS, *medical_optics.MAKERS, "layout", "label", "dial", "drawing")
) - {"skin", "cellular"}
"""Whole images, which are never the material of an object."""


def surface(name: str, size: Size, rng: np.random.Generator) -> Array:
    """Image (H,W,3) float32 in 0..1 of a faultless surface; raises KeyError for an unknown family."""
    return np.clip(MAKERS[name](size, rng), 0, 1).astype(np.float32)
