"""A limit of few units: one outlier does not own it, and its rate is what is said of it."""

import numpy as np
import pytest

from calibrate.threshold.robust_limit import expected_rate, robust_limit

RNG = np.random.default_rng


@pytest.mark.parametrize("outlier", [10.0, 1e3, 1e6])
def test_one_outlier_does_not_own_the_limit(outlier):
    z = RNG(0).standard_normal(10)
    assert robust_limit(np.append(z, outlier), 0.01) == robust_limit(np.append(z, 9.0), 0.01) < 9.0


def test_without_an_outlier_it_is_at_most_the_largest():
    z = np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    assert robust_limit(z, 1e-6) == pytest.approx(0.4)


def test_it_never_lies_below_the_second_largest():
    # Half of them equal: their median absolute deviation is 0.
    assert robust_limit(np.array([0.0, 0.0, 0.0, 2.0, 3.0]), 0.01) == 2.0


def test_a_single_unit_is_its_own_limit():
    assert robust_limit(np.array([1.5]), 0.01) == 1.5


@pytest.mark.parametrize("n", [4, 10, 30, 200])
@pytest.mark.parametrize("draw", [RNG(1).standard_normal, RNG(2).standard_cauchy, RNG(3).standard_exponential])
def test_the_stated_rate_holds_on_average_for_any_distribution(n, draw):
    z, new = draw((2000, n)), draw(2000)
    rate = np.mean([one > robust_limit(row, 0.01) for row, one in zip(z, new, strict=True)])
    # Three standard errors of 2,000 draws.
    assert rate <= expected_rate(n) + 3 * np.sqrt(expected_rate(n) / 2000)


def test_a_wider_share_gives_a_lower_limit():
    z = np.append(RNG(4).standard_normal(12), 8.0)
    assert robust_limit(z, 0.2) <= robust_limit(z, 0.01)
