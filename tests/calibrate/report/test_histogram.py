"""The bins of the histogram: they hold every score, and one edge lies at the threshold."""

import numpy as np
import pytest

from calibrate.report.histogram import Marks, make_bins


def test_bins_hold_everything_and_part_at_the_threshold():
    rng = np.random.default_rng(0)
    normal = np.append(rng.normal(0, 1, 500), [1.25, 900.0])
    anomalous = np.append(rng.normal(3, 1, 40), -700.0)
    bins = make_bins(normal, anomalous, Marks(1.25, 1.0))
    assert bins.normal.sum() + bins.below[0] + bins.above[0] == len(normal)
    assert bins.anomalous.sum() + bins.below[1] + bins.above[1] == len(anomalous)
    assert bins.above == (1, 0) and bins.below == (0, 1)
    [at] = np.flatnonzero(bins.edges == 1.25)
    assert bins.normal[at:].sum() + bins.above[0] == np.sum(normal > 1.25)
    assert 20 <= len(bins.normal) <= 60


@pytest.mark.parametrize("values", [[0.0], [1e10, 1e10], [2.5, 2.5 + 1e-12], [-3e38, 3e38]])
@pytest.mark.parametrize("threshold", [None, 2.5])
def test_odd_scores_still_have_bins(values, threshold):
    bins = make_bins(np.array(values), np.array([]), Marks(threshold))
    assert bins.normal.sum() + bins.below[0] + bins.above[0] == len(values)
    assert np.all(np.diff(bins.edges) > 0) and len(bins.edges) < 200
