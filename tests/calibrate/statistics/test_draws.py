"""Draws of units."""

import numpy as np
import pytest

from calibrate.metrics.ranking import auroc, average_precision
from calibrate.statistics.bootstrap import draw_weights, weighted_ranking


def test_draws_rank_like_repeated_images():
    rng = np.random.default_rng(3)
    margins = rng.integers(0, 9, 40) / 2
    labels = rng.random(40) < 0.4
    weights = rng.integers(0, 4, (6, 40)).astype(float)
    found = weighted_ranking(margins, labels, weights)
    for k, row in enumerate(weights.astype(int)):
        repeated, truth = np.repeat(margins, row), np.repeat(labels, row)
        assert found.auroc[k] == pytest.approx(auroc(repeated, truth))
        assert found.average_precision[k] == pytest.approx(average_precision(repeated, truth))
    alone = weighted_ranking(margins, labels, np.tile(~labels, (1, 1)).astype(float))
    assert np.isnan(alone.auroc[0])
    assert np.isnan(alone.average_precision[0])


def test_units_are_drawn_whole_and_kinds_keep_their_numbers():
    units = ["a", "a", "b", "c", "c", "d"]
    labels = np.array([False, False, False, True, False, True])
    weights = np.concatenate(list(draw_weights(units, labels, 500, np.random.default_rng(0))))
    assert weights.shape == (500, 6)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, 0] + weights[:, 2] == 2).all()
    assert (weights[:, 3] + weights[:, 5] == 2).all()
