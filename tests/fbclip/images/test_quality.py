"""Covered and dead cameras are distinguished from images that are merely dark."""

import numpy as np
import pytest

from fbclip.images.quality import QualitySettings, image_fault

SETTINGS = QualitySettings()
CHANCE = np.random.default_rng(3)
NORMAL = CHANCE.integers(60, 200, (120, 160, 3), dtype=np.uint8)


def full(*rgb):
    return np.full((120, 160, 3), rgb, np.uint8)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (full(0, 0, 0), "black"),
        (CHANCE.integers(0, 5, (120, 160, 3), dtype=np.uint8), "black"),
        (full(255, 255, 255), "overexposed"),
        (full(90, 90, 90), "flat"),
        (full(200, 0, 0), "flat"),
        (NORMAL, None),
    ],
)
def test_reasons(image, reason):
    assert image_fault(image, SETTINGS) == reason


def test_normal_dark_and_bright_images_pass():
    dark = CHANCE.integers(0, 6, (480, 640, 3), dtype=np.uint8)
    dark[100:130, 100:130] = 80
    bright = np.full((480, 640, 3), 255, np.uint8)
    bright[200:230, 200:230] = 40
    assert image_fault(dark, SETTINGS) is None
    assert image_fault(bright, SETTINGS) is None
