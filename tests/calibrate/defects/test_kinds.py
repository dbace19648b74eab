"""Painted defects: where they may lie, that they show, how large they get, and how often each kind is drawn."""

from collections import Counter

import cv2
import numpy as np
import pytest

from calibrate.defects.kinds import FLOOR, KINDS, draw_kind, paint
from calibrate.surfaces.families import surface
from calibrate.surfaces.fields import Array, to_uint8


def round_region(side: int) -> Array:
    canvas = np.zeros((side, side), np.uint8)
    cv2.circle(canvas, (side // 2, side // 2), round(0.37 * side), 1, -1)
    return canvas > 0


def structured(side: int, seed: int) -> Array:
    """A surface with bars and discs on it, so that something can be missing or interrupted."""
    image = to_uint8(surface("plain", (side, side), np.random.default_rng(seed)))
    for k in range(0, side, side // 8):
        cv2.line(image, (k, 0), (k, side), (30, 60, 20), max(1, side // 60))
        cv2.circle(image, (k, k), side // 24, (220, 200, 40), -1)
    return image


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [64, 200])
def test_only_the_mask_changes_and_it_shows(kind: str, side: int) -> None:
    region = round_region(side)
    for seed in range(6):
        before = structured(side, seed)
        kept = before.copy()
        after, mask = paint(kind, before, region, np.random.default_rng(seed))
        assert np.array_equal(before, kept)
        assert after.dtype == np.uint8
        assert mask.dtype == np.bool_
        assert mask.any()
        assert not (mask & ~region).any()
        change = np.abs(after.astype(int) - before).max(axis=2)
        assert not change[~mask].any()
        assert change[mask].mean() > 0.5 * FLOOR
        assert (change[mask] > 0).mean() > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_alone_decides(kind: str) -> None:
    image, region = structured(160, 1), round_region(160)
    one, two, other = (paint(kind, image, region, np.random.default_rng(s)) for s in (4, 4, 5))
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])
    assert not np.array_equal(one[0], other[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_bare_image_and_a_thin_region_still_get_a_defect(kind: str, level: int) -> None:
    image = np.full((96, 128, 3), level, np.uint8)
    region = np.zeros((96, 128), bool)
    region[40:43, 10:100] = True
    for seed in range(3):
        after, mask = paint(kind, image, region, np.random.default_rng(seed))
        assert mask.any()
        assert not (mask & ~region).any()
        assert (after != image).any(axis=2)[mask].mean() > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_spread_widely(kind: str) -> None:
    image, region = structured(240, 2), np.ones((240, 240), bool)
    shares = [paint(kind, image, region, np.random.default_rng(s))[1].mean() for s in range(40)]
    assert np.quantile(shares, 0.95) > 4 * np.quantile(shares, 0.05)


def test_over_all_kinds_sizes_reach_from_specks_to_large_parts() -> None:
    image, region = structured(240, 3), np.ones((240, 240), bool)
    rng = np.random.default_rng(0)
    shares = np.array([paint(draw_kind(rng), image, region, rng)[1].mean() for _ in range(250)])
    assert (shares < 0.003).mean() > 0.05
    assert (shares > 0.05).mean() > 0.05


def test_kinds_are_drawn_by_their_weights() -> None:
    assert all(k.weight > 0 and k.adjectives for k in KINDS.values())
    assert all(word.isalpha() and word.islower() for k in KINDS.values() for word in k.adjectives)
    rng = np.random.default_rng(0)
    counts = Counter(draw_kind(rng) for _ in range(8000))
    assert set(counts) == set(KINDS)
    assert counts["noise_swap"] > 2 * counts["ring"]


def test_a_large_image_is_painted() -> None:
    image, region = structured(1024, 4), round_region(1024)
    for seed, kind in enumerate(("fracture", "missing_part", "noise_paste")):
        assert paint(kind, image, region, np.random.default_rng(seed))[1].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["plain", "brushed metal", "woven", "mottled"])
def test_defect_is_visible_inside_the_mask_and_nothing_changes_outside(kind: str, family: str) -> None:
    region = np.zeros((192, 192), bool)
    cv2.circle(canvas := np.zeros((192, 192), np.uint8), (96, 96), 70, 1, -1)
    region |= canvas > 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        before = to_uint8(surface(family, (192, 192), rng))
        kept = before.copy()
        after, mask = paint(kind, before, region, rng)
        assert np.array_equal(before, kept), "the input must stay as it was"
        change = np.abs(after.astype(int) - before).max(axis=2)
        assert mask.any()
        assert not (mask & ~region).any()
        assert not change[~mask].any()
        # Clipping at black and white may take away some of the floor.
        assert change[mask].mean() > 0.5 * FLOOR


def test_unusable_requests_are_refused() -> None:
    image, rng = np.zeros((64, 64, 3), np.uint8), np.random.default_rng(0)
    with pytest.raises(ValueError, match="unknown defect kind"):
        paint("nonsense", image, np.ones((64, 64), bool), rng)
    with pytest.raises(ValueError, match="too small"):
        paint("hole", image, np.zeros((64, 64), bool), rng)
