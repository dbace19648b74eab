"""Weights of draws: a weighted metric is that of repeated rows."""

import numpy as np
import pytest

from calibrate.metrics.ranking import auroc
from calibrate.statistics.bootstrap import weighted_ranking


def test_weighted_auroc_is_that_of_repeated_rows():

    rng = np.random.default_rng(5)
    values, labels = rng.integers(0, 5, 30).astype(float), rng.random(30) < 0.4
    weights = rng.integers(0, 3, (4, 30))
    for row, found in zip(weights, weighted_ranking(values, labels, weights).auroc, strict=True):
        assert found == pytest.approx(auroc(np.repeat(values, row), np.repeat(labels, row)))
