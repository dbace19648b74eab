"""Surface families: seeded, in range, never empty, and split without overlap."""

from __future__ import annotations

import numpy as np
import pytest

from calibrate.surfaces import families


@pytest.mark.parametrize("side", [64, 256])
@pytest.mark.parametrize("family", families.ALL_FAMILIES)
def test_family_is_seeded_in_range_and_not_constant(family: str, side: int) -> None:
    first, again = (families.surface(family, (side, side), np.random.default_rng(5)) for _ in range(2))
    assert first.shape == (side, side, 3)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert first.std() > 0.001
    assert np.array_equal(first, again)


def test_lists_are_disjoint_and_complete() -> None:
    parts = (families.TRAIN_FAMILIES, families.TEST_FAMILIES, families.ADAPTER_FAMILIES)
    names = [name for part in parts for name in part]
    assert len(names) == len(set(names))
    assert set(names) == set(families.ALL_FAMILIES) == set(families.MAKERS)
    assert families.HELD_OUT_FAMILIES == families.TEST_FAMILIES + families.ADAPTER_FAMILIES
    assert set(families.ALL_FAMILIES) > families.WHOLE_FRAME_FAMILIES


@pytest.mark.parametrize("family", families.ALL_FAMILIES)
def test_another_seed_gives_another_surface_of_any_shape(family: str) -> None:
    first, again, other = (families.surface(family, (96, 128), np.random.default_rng(s)) for s in (3, 3, 4))
    assert first.shape == (96, 128, 3)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_families_are_split_without_overlap() -> None:
    assert set(families.TRAIN_FAMILIES) | set(families.HELD_OUT_FAMILIES) == set(families.ALL_FAMILIES)
    assert not set(families.TRAIN_FAMILIES) & set(families.HELD_OUT_FAMILIES)
