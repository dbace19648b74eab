"""The constants of z are those that the detector's own statistic uses."""

import numpy as np
import pytest

from calibrate.statistics.scale import fit_statistic
from fbclip.decision import Prediction, combined_statistic, statistic_of


def flat(margin: float, level: float) -> Prediction:
    return Prediction(margin, 0.5, np.full((2, 2), level, np.float32))


def test_the_arrays_of_the_simulation_are_the_shipped_statistic():
    margins = np.arange(10.0)
    statistic = fit_statistic(margins, margins / 2, pixel_only=False)
    one = flat(3.0, 9.0)
    by_hand = max((3.0 - statistic.a) / statistic.b, (9.0 - statistic.a2) / statistic.b2)
    assert combined_statistic(one, statistic, 1) == pytest.approx(by_hand, rel=1e-6)


def test_equal_scores_do_not_divide_by_zero():
    statistic = fit_statistic(np.full(10, 2.0), np.full(10, 2.0), pixel_only=False)
    assert statistic_of([2.0], [2.0], statistic) == [0.0]
    assert statistic.b > 0
