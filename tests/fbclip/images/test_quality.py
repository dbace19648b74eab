"""Covered, dead and stuck cameras are distinguished from images that are merely dark."""

import numpy as np
import pytest

from fbclip.images.quality import QualitySettings, image_fault, quality

SETTINGS = QualitySettings(frozen_after=3)
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
    assert quality(image, None, SETTINGS).reason == reason


def test_normal_dark_and_bright_images_pass():
    dark = CHANCE.integers(0, 6, (480, 640, 3), dtype=np.uint8)
    dark[100:130, 100:130] = 80
    bright = np.full((480, 640, 3), 255, np.uint8)
    bright[200:230, 200:230] = 40
    assert image_fault(dark, SETTINGS) is None
    assert image_fault(bright, SETTINGS) is None


def test_frozen_after_so_many_identical_frames_and_well_after_one_other():
    previous, reasons = None, []
    for image in [NORMAL, NORMAL, NORMAL, NORMAL, NORMAL + 1, NORMAL]:
        result = quality(image, previous, SETTINGS)
        previous = result.fingerprint
        reasons.append(result.reason)
    assert reasons == [None, None, "frozen", "frozen", None, None]


def test_files_are_never_frozen():
    previous = None
    for _ in range(5):
        result = quality(NORMAL, previous, QualitySettings(frozen_after=None))
        previous = result.fingerprint
        assert result.reason is None
