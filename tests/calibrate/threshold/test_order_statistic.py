"""Thresholds keep their promise: simulated with the shipped statistic and order statistic."""

import math

import numpy as np
import pytest

from calibrate.statistics.scale import fit_statistic
from calibrate.threshold.operating_point import set_threshold
from calibrate.threshold.request import ThresholdTarget
from calibrate.threshold.unit_scores import unit_maxima

TARGET = ThresholdTarget(alpha=0.05, confidence=0.95, uncertain=0.25)
DRAWS = 2000
POPULATION = 3000
"""Units are drawn from so many with replacement, so the true rate is known exactly."""


def within_bound(failures: int) -> bool:
    """At most δ, with three standard errors for the finite number of draws."""
    delta = 1 - TARGET.confidence
    return failures / DRAWS <= delta + 3 * math.sqrt(delta * (1 - delta) / DRAWS)


@pytest.mark.parametrize("terms", ["both", "image", "pixel"])
@pytest.mark.parametrize("n", [59, 93])
def test_promise_holds_for_the_statistic(n, terms):
    """Image term and pixel term dependent but different, or one alone; the constants come from units of their own."""
    rng = np.random.default_rng(n)
    truth = rng.standard_normal((POPULATION, 2)) @ np.array([[1.0, 0.5], [0.0, 2.0]])
    if terms == "image":
        truth[:, 1] = -100
    failures = 0
    for _ in range(DRAWS):
        drawn = truth[rng.integers(0, len(truth), n + 10)]
        statistic = fit_statistic(drawn[:10, 0], drawn[:10, 1], pixel_only=terms == "pixel")
        scale = np.array([[statistic.a, statistic.a2], [statistic.b, statistic.b2]])
        first = 1 if statistic.use == "pixel" else 0
        z = ((drawn[10:] - scale[0]) / scale[1])[:, first:].max(axis=1)
        threshold = set_threshold(z, TARGET)
        assert threshold.guarantee is not None
        rate = (((truth - scale[0]) / scale[1])[:, first:].max(axis=1) > threshold.value).mean()
        failures += rate > TARGET.alpha
    assert within_bound(failures)


def test_promise_holds_for_units_of_correlated_frames_and_fails_for_frames():
    rng = np.random.default_rng(5)
    units, frames = 59, 10
    by_unit = by_frame = 0

    def parts(count: int) -> np.ndarray:
        common = rng.standard_normal((count, 1)) * math.sqrt(0.9)
        return common + rng.standard_normal((count, frames)) * math.sqrt(0.1)

    truth = parts(20_000).max(axis=1)
    for _ in range(DRAWS):
        z = parts(units)
        names = [str(u) for u in range(units) for _ in range(frames)]
        per_unit = unit_maxima(names, z.ravel().tolist())
        assert len(per_unit) == units
        limit = set_threshold(per_unit, TARGET).value
        by_unit += (truth > limit).mean() > TARGET.alpha
        naive = set_threshold(z.ravel(), TARGET).value
        by_frame += (truth > naive).mean() > TARGET.alpha
    assert within_bound(by_unit)
    assert not within_bound(by_frame)


def test_ties_and_uncertain_band():
    z = np.array([1.0] * 300)
    threshold = set_threshold(z, ThresholdTarget(0.01, 0.95, 0.05))
    assert threshold.value == threshold.uncertain_above == 1.0
    ordered = np.arange(300.0)
    threshold = set_threshold(ordered, ThresholdTarget(0.01, 0.95, 0.05))
    assert threshold.value == 299.0
    assert threshold.uncertain_above < threshold.value


def test_a_guarantee_takes_enough_units():
    assert set_threshold(np.arange(58.0), TARGET).guarantee is None
    assert set_threshold(np.arange(59.0), TARGET).guarantee is not None
