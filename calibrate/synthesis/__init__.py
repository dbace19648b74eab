"""Procedural pictures with defects, masks and captions: seeded, cheap, and free of other people's pictures."""

from calibrate.synthesis.defects import paint
from calibrate.synthesis.scene import DEFECT_KINDS, GENERATOR_VERSION, Scene, generate
from calibrate.synthesis.surfaces import (
    ADAPTER_FAMILIES,
    ALL_FAMILIES,
    HELD_OUT_FAMILIES,
    TEST_FAMILIES,
    TRAIN_FAMILIES,
    surface,
)

__all__ = [
    "ADAPTER_FAMILIES",
    "ALL_FAMILIES",
    "DEFECT_KINDS",
    "GENERATOR_VERSION",
    "HELD_OUT_FAMILIES",
    "TEST_FAMILIES",
    "TRAIN_FAMILIES",
    "Scene",
    "generate",
    "paint",
    "surface",
]
