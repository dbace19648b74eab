"""Verdicts, regions and the combined statistic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from fbclip.decision import (
    Prediction,
    Statistic,
    Verdict,
    combined_statistic,
    decide,
    highest_region,
    region_level,
    regions_above,
    statistic_of,
)
from fbclip.images.geometry import Placement

PLAIN = Statistic(a=0, b=1, a2=0, b2=1)
WHOLE = Placement(0, 0, 64, 32)


def prediction(margin: float, blob: float | None = None, side: int = 16) -> Prediction:
    values = np.zeros((side, side), np.float32)
    if blob is not None:
        values[4:7, 8:11] = blob
    return Prediction(margin, 0.5, values)


@given(seed=st.integers(0, 2**31), area=st.integers(1, 30), levels=st.integers(1, 60))
@settings(max_examples=80, deadline=None)
def test_region_level_equals_trying_every_level(seed, area, levels):
    values = np.random.default_rng(seed).integers(0, levels, (9, 9)).astype(np.float32)
    best = float("-inf")
    for level in np.unique(values):
        labels, _ = label(values >= level, np.ones((3, 3)))
        if np.bincount(labels.ravel())[1:].max(initial=0) >= area:
            best = level
    assert region_level(values, area) == best


def test_region_level_needs_room():
    values = np.full((4, 4), -np.inf, np.float32)
    values[0, 0] = 3
    assert region_level(values, 2) == -np.inf
    assert region_level(values, 1) == 3
    with pytest.raises(ValueError, match="min_area_px"):
        region_level(values, 0)


def test_alarm_is_strictly_above_the_threshold():
    at = prediction(2.0)
    assert decide(at, PLAIN, 2.0, None, 4, WHOLE).verdict is Verdict.OK
    assert decide(at, PLAIN, np.nextafter(np.float32(2), np.float32(0)), None, 4, WHOLE).verdict is Verdict.ANOMALY
    assert decide(at, PLAIN, 3.0, 1.0, 4, WHOLE).verdict is Verdict.UNCERTAIN


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_is_rejected_never_ok(bad):
    for broken in (prediction(bad), prediction(0.0, bad)):
        decision = decide(broken, PLAIN, 1.0, None, 4, WHOLE)
        assert (decision.verdict, decision.reason) == (Verdict.REJECTED, "non_finite")


def test_pixel_alarm_has_a_region_and_the_region_has_original_pixels():
    decision = decide(prediction(-5.0, 3.0), PLAIN, 1.0, None, 9, WHOLE)
    assert decision.verdict is Verdict.ANOMALY
    (region,) = decision.regions
    assert region.box == (32, 8, 44, 14)  # 16 map pixels over 64x32: 4 and 2 pixels each
    assert region.area_px == 72
    assert region.margin_max == 3.0
    assert decide(prediction(-5.0, 3.0), PLAIN, 1.0, None, 10, WHOLE).verdict is Verdict.OK


def test_ignored_pixels_and_the_image_term_take_no_part():
    ignore = np.zeros((16, 16), bool)
    ignore[:8] = True
    judged = prediction(9.0, 3.0)
    assert combined_statistic(judged, PLAIN, 4, ignore) == 0.0
    assert regions_above(judged, PLAIN, 1.0, 4, WHOLE, ignore) == ()
    everything = np.ones((16, 16), bool)
    assert decide(judged, PLAIN, 1.0, None, 4, WHOLE, everything).reason == "nothing_to_judge"


def test_the_larger_of_the_two_terms_decides():
    scaled = Statistic(a=1, b=2, a2=1, b2=4)
    assert combined_statistic(prediction(5.0), scaled, 4) == 2.0
    assert combined_statistic(prediction(-9.0, 13.0), scaled, 4) == 3.0
    assert combined_statistic(prediction(99.0, 13.0), scaled.model_copy(update={"use": "pixel"}), 4) == 3.0


@given(seed=st.integers(0, 2**31), area=st.integers(1, 20), use=st.sampled_from(["both", "pixel"]))
@settings(max_examples=60, deadline=None)
def test_many_images_have_the_statistic_that_each_has_alone(seed, area, use):
    """Bit for bit; and the level of the scaled map is the scaled level of the map."""
    rng = np.random.default_rng(seed)
    a, a2 = rng.normal(size=2)
    b, b2 = rng.uniform(0.1, 3, 2)
    statistic = Statistic(a=a, b=b, a2=a2, b2=b2, use=use)
    images = [Prediction(float(rng.normal()), 0.5, rng.normal(size=(9, 9)).astype(np.float32)) for _ in range(5)]
    levels = [highest_region(image.map, area) for image in images]
    z = statistic_of([image.margin for image in images], levels, statistic)
    assert z.dtype == np.float32
    for image, value in zip(images, z, strict=True):
        assert combined_statistic(image, statistic, area) == value
        scaled = (image.map - np.float32(a2)) / np.float32(b2)
        number = (np.float32(image.margin) - np.float32(a)) / np.float32(b)
        assert value == max(region_level(scaled, area), -np.inf if use == "pixel" else number)
