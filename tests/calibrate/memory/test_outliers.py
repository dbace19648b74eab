"""The limit of outliers keeps its rate."""

import numpy as np

from calibrate.memory.outliers import RATE, robust_limit


def test_limit_keeps_its_rate_of_false_outliers():
    rng = np.random.default_rng(0)
    for n in (8, 24, 100):
        scores = np.exp(rng.normal(size=(4000, n)))
        above = np.mean([row > robust_limit(row, n) for row in scores])
        assert above <= 1.5 * RATE
