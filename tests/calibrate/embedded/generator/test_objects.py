"""Objects: every construction appears, and the region is where the object is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibrate.embedded.generator.assemblies import PARTS, Body, furnish
from calibrate.embedded.generator.objects import REVOLUTION, SHAPES, arrange, legs, outline
from calibrate.embedded.generator.solids import body_of_revolution, height_field, illuminate


@pytest.mark.parametrize("size", [64, 160, 320])
def test_images_and_regions_are_sane_at_every_size(size: int) -> None:
    for seed in range(25):
        found = arrange("brushed metal", (size, size), np.random.default_rng(seed))
        assert found.image.shape == (size, size, 3)
        assert found.image.dtype == np.float32
        assert 0 <= found.image.min() <= found.image.max() <= 1
        assert found.region.shape == (size, size)
        assert 0.02 < found.region.mean() <= 1


def test_every_shape_appears_and_seeds_repeat() -> None:
    shapes = {arrange("plain", (96, 96), np.random.default_rng(seed)).shape for seed in range(120)}
    assert shapes == {*SHAPES, REVOLUTION}
    one, two = (arrange("wooden", (96, 96), np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one.image, two.image)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_draws_something(part) -> None:  # type: ignore[no-untyped-def]
    points = outline("plate", np.random.default_rng(0)) * 60 + 100
    image = np.full((200, 200, 3), 2.0, np.float32)
    part(image, Body(points, points.mean(axis=0), 60.0), np.random.default_rng(1))
    changed = (image != 2.0).any(axis=2)
    assert 0.001 < changed.mean() < 0.9


def test_parts_are_the_same_for_the_same_generator() -> None:
    points = outline("disc", np.random.default_rng(0)) * 60 + 100
    images = [np.zeros((200, 200, 3), np.float32) for _ in range(2)]
    for image in images:
        furnish(image, points, np.random.default_rng(7))
    assert np.array_equal(*images)


def test_a_dome_is_brightest_towards_the_lamp_and_a_plane_is_even() -> None:
    alpha = np.zeros((120, 120), np.float32)
    cv2.circle(alpha, (60, 60), 50, 1.0, -1)
    rng = np.random.default_rng(0)
    ys, xs = np.mgrid[:120, :120].astype(np.float32)
    dome = 0.9 * np.sqrt(np.clip(50.0**2 - (xs - 60) ** 2 - (ys - 60) ** 2, 0, None)).astype(np.float32)
    brightness, shine = illuminate(dome, rng)
    inside = alpha > 0.5
    assert brightness[inside].std() > 0.03
    assert 0 <= shine.min() <= shine.max() <= 1
    even, _ = illuminate(np.full((120, 120), 3.0, np.float32), rng)
    assert even.std() < 1e-5


def test_an_outline_that_fills_the_frame_has_a_finite_height() -> None:
    for seed in range(12):
        height = height_field(np.ones((80, 80), np.float32), np.random.default_rng(seed))
        assert np.isfinite(height).all()
        assert height.max() <= 80


def test_a_turned_body_is_one_piece_within_the_frame() -> None:
    for seed in range(20):
        alpha, brightness, shine = body_of_revolution((160, 160), np.random.default_rng(seed))
        assert 0.01 < (alpha > 0.5).mean() < 0.7
        assert np.isfinite(brightness).all()
        assert np.isfinite(shine).all()


def test_legs_stand_out_of_the_body() -> None:
    pins = legs((200, 200), (100.0, 100.0), 50.0, 0.0, np.random.default_rng(3))
    ys, _ = np.nonzero(pins > 0.5)
    assert ys.max() > 150
