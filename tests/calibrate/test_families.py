"""Surface families: seeded, in range, never empty, and split without overlap."""

from __future__ import annotations

import numpy as np
import pytest

from calibrate.synthesis import surfaces


@pytest.mark.parametrize("side", [64, 256])
@pytest.mark.parametrize("family", surfaces.ALL_FAMILIES)
def test_family_is_seeded_in_range_and_not_constant(family: str, side: int) -> None:
    first, again = (surfaces.surface(family, (side, side), np.random.default_rng(5)) for _ in range(2))
    assert first.shape == (side, side, 3)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert first.std() > 0.001
    assert np.array_equal(first, again)


def test_lists_are_disjoint_and_complete() -> None:
    parts = (surfaces.TRAIN_FAMILIES, surfaces.TEST_FAMILIES, surfaces.ADAPTER_FAMILIES)
    names = [name for part in parts for name in part]
    assert len(names) == len(set(names))
    assert set(names) == set(surfaces.ALL_FAMILIES) == set(surfaces.MAKERS)
    assert surfaces.HELD_OUT_FAMILIES == surfaces.TEST_FAMILIES + surfaces.ADAPTER_FAMILIES
    assert set(surfaces.ALL_FAMILIES) > surfaces.WHOLE_FRAME_FAMILIES
