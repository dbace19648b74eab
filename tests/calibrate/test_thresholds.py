"""Thresholds keep their promise: simulated with the shipped statistic and order statistic."""

import math

import numpy as np
import pytest

from calibrate.errors import RefusedError
from calibrate.statistics.units import unit_maxima
from calibrate.threshold.order_statistic import (
    ThresholdTarget,
    check_enough,
    constant_units,
    fit_statistic,
    set_threshold,
)
from fbclip.decision import Prediction, combined_statistic, statistic_of

WISH = ThresholdTarget(alpha=0.05, confidence=0.95, uncertain=0.25)
DRAWS = 2000
POPULATION = 3000
"""Units are drawn from so many with replacement, so the true rate is known exactly."""


def within_bound(failures: int) -> bool:
    """At most δ, with three standard errors for the finite number of draws."""
    delta = 1 - WISH.confidence
    return failures / DRAWS <= delta + 3 * math.sqrt(delta * (1 - delta) / DRAWS)


def flat(margin: float, level: float) -> Prediction:
    return Prediction(margin, 0.5, np.full((2, 2), level, np.float32))


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
        threshold = set_threshold(z, WISH)
        assert threshold.guarantee is not None
        rate = (((truth - scale[0]) / scale[1])[:, first:].max(axis=1) > threshold.value).mean()
        failures += rate > WISH.alpha
    assert within_bound(failures)


def test_the_arrays_of_the_simulation_are_the_shipped_statistic():
    margins = np.arange(10.0)
    statistic = fit_statistic(margins, margins / 2, pixel_only=False)
    one = flat(3.0, 9.0)
    by_hand = max((3.0 - statistic.a) / statistic.b, (9.0 - statistic.a2) / statistic.b2)
    assert combined_statistic(one, statistic, 1) == pytest.approx(by_hand, rel=1e-6)


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
        limit = set_threshold(per_unit, WISH).value
        by_unit += (truth > limit).mean() > WISH.alpha
        naive = set_threshold(z.ravel(), WISH).value
        by_frame += (truth > naive).mean() > WISH.alpha
    assert within_bound(by_unit)
    assert not within_bound(by_frame)


def test_too_few_units_are_refused_with_the_number_needed():
    with pytest.raises(RefusedError, match="309 are needed") as caught:
        check_enough(60, ThresholdTarget(0.01, 0.95, 0.05))
    assert "these carry" in str(caught.value)
    check_enough(309, ThresholdTarget(0.01, 0.95, 0.05))
    assert set_threshold(np.arange(58.0), WISH).guarantee is None
    assert set_threshold(np.arange(59.0), WISH).guarantee is not None


@pytest.mark.parametrize("n", [20, 69, 100, 309, 1000, 5000])
def test_the_constants_never_eat_what_the_guarantee_needs(n):
    wish = ThresholdTarget(0.05, 0.95, 0.25)
    spent = constant_units(n, wish)
    assert spent == 10 or n // 5 >= spent
    assert spent <= 100
    if n >= 69:
        assert n - spent >= 59


def test_ties_and_uncertain_band():
    z = np.array([1.0] * 300)
    threshold = set_threshold(z, ThresholdTarget(0.01, 0.95, 0.05))
    assert threshold.value == threshold.uncertain_above == 1.0
    ordered = np.arange(300.0)
    threshold = set_threshold(ordered, ThresholdTarget(0.01, 0.95, 0.05))
    assert threshold.value == 299.0
    assert threshold.uncertain_above < threshold.value


def test_equal_scores_do_not_divide_by_zero():
    statistic = fit_statistic(np.full(10, 2.0), np.full(10, 2.0), pixel_only=False)
    assert statistic_of([2.0], [2.0], statistic) == [0.0]
    assert statistic.b > 0


@pytest.mark.parametrize("bad", [(0.0, 0.95, 0.1), (0.01, 1.0, 0.1), (0.1, 0.9, 0.05)])
def test_impossible_wishes_are_refused(bad):
    with pytest.raises(RefusedError, match="must lie between"):
        ThresholdTarget(*bad)
