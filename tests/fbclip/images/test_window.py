"""Windows on images of every depth: declared values, percentiles, and what has no range of its own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fbclip.errors import ImageError
from fbclip.images.decode import decode, decode_picture
from fbclip.images.window import parse_window, percentile_limits, through
from tests.factories.images import png_palette, tiff_one_bit_palette

DEEP = (np.arange(40 * 56).reshape(40, 56) * 29).astype(np.uint16)
FLOAT = np.random.default_rng(0).normal(0, 100, (40, 56)).astype(np.float32)


def encoded(image, suffix=".png"):
    return cv2.imencode(suffix, image)[1].tobytes()


def reason(data, window):
    with pytest.raises(ImageError) as caught:
        decode(data, window)
    return caught.value.reason


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_through_their_window(suffix):
    data = encoded(DEEP, suffix)
    shown = decode(data, (1000.0, 5000.0))[..., 0]
    assert np.array_equal(shown, np.rint(np.clip((DEEP - 1000.0) / 4000, 0, 1) * 255))
    low, high = np.percentile(DEEP, (0.5, 99.5))
    shown = decode(data, "percentile")[..., 1]
    assert np.array_equal(shown, np.rint(np.clip((DEEP - low) / (high - low), 0, 1) * 255))
    for full in ("full", "dicom"):
        assert np.array_equal(decode(data, full)[..., 2], np.rint(DEEP / 257))


def test_colours_of_sixteen_bits_keep_their_places():
    deep = np.random.default_rng(1).integers(0, 4096, (20, 30, 3)).astype(np.uint16)
    for suffix in (".png", ".tiff"):
        assert np.array_equal(decode(encoded(deep, suffix), (0.0, 4095.0)), np.rint(deep[..., ::-1] / 4095 * 255))


def test_floating_point_needs_a_window():
    hurt = FLOAT.copy()
    hurt[3, 4], hurt[3, 5] = np.nan, np.inf
    data = encoded(hurt, ".tiff")
    assert reason(data, "dicom") == reason(data, "full") == "no_window"
    shown = decode(data, (-200.0, 200.0))[..., 0]
    expected = np.rint(np.clip((FLOAT.astype(float) + 200) / 400, 0, 1) * 255)
    expected[3, 4], expected[3, 5] = 0, 255
    assert np.array_equal(shown, expected)
    low, high = np.percentile(hurt[np.isfinite(hurt)].astype(float), (0.5, 99.5))
    assert percentile_limits([hurt], hurt.size) == (low, high)
    assert decode(data, "percentile").std() > 30
    assert reason(encoded(np.full((20, 20), np.nan, np.float32), ".tiff"), "percentile") == "flat"


def test_eight_bits_go_through_a_window_that_is_theirs_and_no_other():
    grey = np.arange(240, dtype=np.uint8).reshape(12, 20)
    assert np.array_equal(
        decode(encoded(grey), (40.0, 200.0))[..., 0], np.rint(np.clip((grey - 40.0) / 160, 0, 1) * 255)
    )
    assert reason(encoded(grey), (0.0, 4095.0)) == "wrong_depth"
    assert np.array_equal(decode(encoded(grey), "full")[..., 0], grey)


def test_unused_bits_are_counted():
    assert decode_picture(encoded((DEEP >> 4).astype(np.uint16))).unused_bits == 4
    assert decode_picture(encoded(DEEP)).unused_bits == decode_picture(encoded(DEEP.astype(np.uint8))).unused_bits == 0


def test_a_window_of_no_width_is_a_step():
    assert through(np.array([1, 2, 3]), 2, 2).tolist() == [0, 0, 255]


@pytest.mark.parametrize("text", ["dicom", "full", "percentile"])
def test_rules_are_named(text):
    assert parse_window(text) == text and parse_window(" -5,80.5") == (-5.0, 80.5)


def test_palettes_of_one_bit_and_with_alpha_have_their_colours():
    marks = np.random.default_rng(2).random((40, 56)) > 0.5
    colours = np.where(marks[..., None], [5, 100, 250], [200, 10, 30])
    assert np.array_equal(decode(tiff_one_bit_palette(marks, (200, 10, 30), (5, 100, 250))), colours)
    # What is transparent keeps the colour that is stored there.
    assert np.array_equal(decode(png_palette(marks, (200, 10, 30), (5, 100, 250), alpha=bytes([0, 128]))), colours)
