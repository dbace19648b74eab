"""Binomial bounds against published figures and against simulation."""

import numpy as np
import pytest
from scipy.stats import binom

from calibrate.statistics.intervals import (
    allowed_exceedances,
    measured_rate,
    rate_at_most,
    rate_between,
    required_units,
    supported_alpha,
)


@pytest.mark.parametrize(
    ("alpha", "confidence", "n"), [(0.01, 0.95, 299), (0.05, 0.95, 59), (0.1, 0.95, 29), (0.001, 0.99, 4603)]
)
def test_required_units(alpha, confidence, n):
    assert required_units(alpha, confidence) == n
    assert allowed_exceedances(n, alpha, confidence) == 0
    assert allowed_exceedances(n - 1, alpha, confidence) is None


def test_supported_alpha():
    assert supported_alpha(50, 0.95) == pytest.approx(0.058, abs=5e-4)
    assert supported_alpha(0, 0.95) == 1.0
    for n in (10, 59, 299):
        assert required_units(supported_alpha(n, 0.95) * 1.0001, 0.95) <= n


def test_five_of_five_defects_prove_a_recall_of_55_percent():
    assert 1 - supported_alpha(5, 0.95) == pytest.approx(0.549, abs=1e-3)


@pytest.mark.parametrize("n", [299, 473, 1000, 5000])
def test_exceedances_are_the_largest_that_the_tail_allows(n):
    k = allowed_exceedances(n, 0.01, 0.95)
    assert binom.cdf(k, n, 0.01) <= 0.05 < binom.cdf(k + 1, n, 0.01)


def test_numbers_do_not_depend_on_numpy_types():
    assert allowed_exceedances(int(np.int64(299)), 0.01, 0.95) == 0


@pytest.mark.parametrize(("k", "n"), [(0, 50), (3, 59), (58, 59)])
def test_the_upper_limit_is_where_the_tail_is_one_minus_confidence(k, n):
    assert binom.cdf(k, n, rate_at_most(k, n, 0.95)) == pytest.approx(0.05, abs=1e-9)


def test_upper_limits_at_the_ends():
    assert rate_at_most(0, 50, 0.95) == pytest.approx(supported_alpha(50, 0.95))
    assert rate_at_most(50, 50, 0.95) == rate_at_most(0, 0, 0.95) == 1.0


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    # The classic table for 10 trials at 95 %, two-sided.
    [(0, 10, 0.0, 0.3085), (1, 10, 0.0025, 0.4450), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1.0)],
)
def test_interval_against_published_figures(k, n, low, high):
    assert rate_between(k, n, 0.95) == pytest.approx((low, high), abs=1e-4)


def test_interval_of_nothing_is_everything():
    assert rate_between(0, 0, 0.95) == (0.0, 1.0)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.37, 0.9])
def test_interval_covers_exactly_computed(p):
    """No simulation: the probability of every count is known."""
    n, confidence = 30, 0.9
    limits = [rate_between(k, n, confidence) for k in range(n + 1)]
    covered = sum(binom.pmf(k, n, p) for k, (low, high) in enumerate(limits) if low <= p <= high)
    assert covered >= confidence


def test_a_measured_rate_has_its_interval_and_nothing_is_known_of_none():
    rate = measured_rate(1, 10)
    assert (rate.count, rate.total, rate.rate) == (1, 10, 0.1)
    assert rate.interval == rate_between(1, 10, 0.95) == (rate.low, rate.high)
    assert measured_rate(1, 10, 0.8).interval == rate_between(1, 10, 0.8)
    nothing = measured_rate(0, 0)
    assert nothing.rate is nothing.low is nothing.high is nothing.interval is None
