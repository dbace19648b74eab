"""The image generator: seeded, exact about what it changes, and visibly so."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibrate.defects.kinds import FLOOR, paint
from calibrate.embedded.sample_files import (
    FRAMES_A_PART,
    PARTS,
    belt_defect,
    read_video,
    write_calibration,
    write_samples,
)
from calibrate.embedded.samples import SAMPLE_DEFECTS, belt_part, inbox_part
from calibrate.embedded.scene import DEFECT_KINDS, generate
from calibrate.surfaces.families import ALL_FAMILIES, HELD_OUT_FAMILIES, TRAIN_FAMILIES, surface
from calibrate.surfaces.noise import to_uint8


def test_families_are_split_without_overlap() -> None:
    assert set(TRAIN_FAMILIES) | set(HELD_OUT_FAMILIES) == set(ALL_FAMILIES)
    assert not set(TRAIN_FAMILIES) & set(HELD_OUT_FAMILIES)


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_surface_is_seeded_and_in_range(family: str) -> None:
    first, again, other = (surface(family, (96, 128), np.random.default_rng(s)) for s in (3, 3, 4))
    assert first.shape == (96, 128, 3)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


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


@pytest.mark.parametrize("kind", DEFECT_KINDS)
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
    with pytest.raises(ValueError, match="unknown demo defect"):
        belt_part(0, "nonsense")


@pytest.mark.parametrize("make", [belt_part, inbox_part])
def test_demo_units_vary_mildly_and_their_defects_are_obvious(make: type) -> None:
    normal = np.stack([make(s).image for s in range(8)]).astype(float)
    assert np.abs(normal - normal.mean(axis=0)).mean() < 8
    for kind in SAMPLE_DEFECTS:
        scene = make(5, kind)
        assert scene.label == 1
        change = np.abs(scene.image.astype(float) - make(5).image).mean(axis=2)
        assert change[scene.mask].mean() > 4 * change[~scene.mask].mean()


def test_demo_files(tmp_path: Path) -> None:
    write_samples(tmp_path)
    frames = read_video(tmp_path / "belt.mp4")
    assert len(frames) == PARTS * FRAMES_A_PART
    assert frames[0].shape == (240, 320, 3)
    assert (tmp_path / "belt.mp4").stat().st_size < 1_500_000
    about = json.loads((tmp_path / "belt.json").read_text(encoding="utf-8"))
    assert [d["part"] for d in about["defective"]] == [p for p in range(PARTS) if belt_defect(p)]
    names = sorted(p.name for p in (tmp_path / "inbox").iterdir())
    assert len(names) == 10
    assert sum("good" in n for n in names) == 6


@pytest.mark.parametrize("product", ["belt", "inbox"])
def test_calibration_units(tmp_path: Path, product: str) -> None:
    write_calibration(tmp_path, product, 4)
    frames = [""] if product == "inbox" else [f"_{n}" for n in range(1, 6)]
    expected = [f"unit_{k:05d}{frame}.png" for k in range(1, 5) for frame in frames]
    assert sorted(p.name for p in (tmp_path / "good").iterdir()) == expected


def test_unknown_product_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown product"):
        write_calibration(tmp_path, "nonsense", 1)
