"""Binomial bounds against published figures and against simulation."""

import numpy as np
import pytest
from scipy.stats import binom

from calibrate.bounds import allowed_exceedances, required_units, supported_alpha


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


@pytest.mark.parametrize("n", [299, 473, 1000, 5000])
def test_exceedances_are_the_largest_that_the_tail_allows(n):
    k = allowed_exceedances(n, 0.01, 0.95)
    assert binom.cdf(k, n, 0.01) <= 0.05 < binom.cdf(k + 1, n, 0.01)


def test_numbers_do_not_depend_on_numpy_types():
    assert allowed_exceedances(int(np.int64(299)), 0.01, 0.95) == 0
