"""Percentile intervals of draws."""

import numpy as np
import pytest

from calibrate.statistics.intervals import CONFIDENCE, percentile_interval


def test_the_middle_of_the_draws():
    low, high = percentile_interval(np.arange(1001.0))
    assert (low, high) == pytest.approx((25.0, 975.0))
    assert CONFIDENCE == 0.95
    assert percentile_interval(np.arange(1001.0), 0.5).tolist() == [250.0, 750.0]


def test_draws_without_a_number_do_not_count():
    draws = np.stack([np.arange(11.0), np.arange(11.0) * 10])
    draws[:, ::2] = np.nan
    low, high = percentile_interval(draws, confidence=1.0)
    assert (low.tolist(), high.tolist()) == ([1.0, 10.0], [9.0, 90.0])
    assert percentile_interval(draws.T, 1.0, axis=0).tolist() == [[1.0, 10.0], [9.0, 90.0]]


def test_no_draw_with_a_number_has_no_interval():
    with pytest.warns(RuntimeWarning, match="All-NaN"):
        assert np.isnan(percentile_interval(np.full(5, np.nan))).all()
