"""Dependence in time: found where it is, not where it is not, and then the promise on false alarms still holds."""

import numpy as np
import pytest
from scipy.stats import norm

from calibrate.statistics.serial import LEVEL, serial_dependence
from calibrate.threshold.operating_point import set_threshold
from calibrate.threshold.request import ThresholdTarget


def test_independent_numbers_lose_units_no_more_often_than_the_level_says():
    rng, draws = np.random.default_rng(1), 2000
    called = sum(serial_dependence(rng.standard_cauchy(25)).dependent for _ in range(draws))
    # 2,000 draws at the level of 1% call more than 33 with probability 0.002.
    assert called <= 33
    assert LEVEL == 0.01


def test_runs_of_copies_are_worth_their_number():
    rng = np.random.default_rng(2)
    runs = np.repeat(rng.normal(size=40), 5) + rng.normal(0, 0.05, 200)
    found = serial_dependence(runs)
    assert found.dependent
    assert 15 <= found.effective <= 50
    two = serial_dependence(np.repeat([0.0, 9.0], 20) + rng.normal(0, 0.1, 40))
    assert two.dependent
    assert two.effective <= 4


def test_nothing_is_said_of_few_or_equal_numbers():
    assert serial_dependence(np.arange(7.0)) is None
    assert serial_dependence(np.ones(20)) is None


def promise(z, worth):
    """(promised, broken) of 20% at 90% confidence, where z of a further unit is standard normal."""
    found = set_threshold(z, ThresholdTarget(0.2, 0.9, 0.5), worth)
    return found.guarantee is not None, found.guarantee is not None and norm.sf(found.value) > 0.2


def runs_of(rng, copies, n=40):
    return np.repeat(rng.normal(size=n // copies), copies) + 1e-3 * rng.normal(size=n)


def independent(rng):
    return rng.normal(size=40)


def drifting(rng, keep, n=40):
    z = np.empty(n)
    z[0] = rng.normal()
    for at in range(1, n):
        z[at] = keep * z[at - 1] + np.sqrt(1 - keep**2) * rng.normal()
    return z


@pytest.mark.parametrize("draw", [lambda r: runs_of(r, 4), lambda r: drifting(r, 0.8), independent])
def test_the_promise_holds_on_correlated_units(draw):
    """2,000 draws: at most a tenth of all lines gets a promise that is not kept; counted as independent, far more."""
    rng, draws, broken, naive = np.random.default_rng(4), 2000, 0, 0
    for _ in range(draws):
        z = draw(rng)
        found = serial_dependence(z)
        broken += promise(z, found.effective)[1]
        naive += promise(z, None)[1]
    # 2,000 draws of 0.1 lie below 0.116 with probability 0.99.
    assert broken / draws <= 0.116
    assert draw is independent or naive / draws > 0.116
