"""Scenes: a function of their seed; label, mask and caption agree."""

from __future__ import annotations

import numpy as np
import pytest

from calibrate.embedded.generator.scene import generate
from calibrate.surfaces.families import TRAIN_FAMILIES


@pytest.mark.parametrize("seed", range(8))
def test_scene_is_a_function_of_its_seed(seed: int) -> None:
    a, b = generate(seed, 128), generate(seed, 128)
    assert np.array_equal(a.image, b.image)
    assert np.array_equal(a.mask, b.mask)
    assert a.caption == b.caption


@pytest.mark.parametrize("seed", range(40))
def test_label_mask_and_caption_agree(seed: int) -> None:
    scene = generate(seed, 96, TRAIN_FAMILIES)
    assert scene.image.dtype == np.uint8
    assert scene.image.shape == (96, 96, 3)
    assert scene.mask.dtype == np.bool_
    assert scene.label == int(scene.mask.any()) == int(scene.defect is not None)
    assert scene.family in TRAIN_FAMILIES
    assert ("with defect" if scene.label else "without defect") in scene.caption


def test_the_label_can_be_asked_for() -> None:
    assert all(generate(s, 96, anomalous=False).label == 0 for s in range(10))
    assert all(generate(s, 96, anomalous=True).label == 1 for s in range(10))
