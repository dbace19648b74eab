"""Image and pixel rankings against scikit-learn and plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from calibrate.metrics.points import pr_curve_points, roc_curve_points
from calibrate.metrics.ranking import auroc, average_precision, f1_max
from calibrate.metrics.regions import aupro_exact, pro_curve_points
from tests.factories.maps import image_set, smooth_set
from tests.golden.metrics4 import plain


@pytest.mark.parametrize("levels", [2, 7, 1000, 10**9])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_rankings_agree_with_sklearn(levels, kind):
    rng = np.random.default_rng(levels)
    labels = rng.random(700) < 0.3
    scores = (rng.integers(0, levels, 700) + 0.2 * levels * labels).astype(kind)
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert average_precision(scores, labels) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    by_threshold = (2 * precision * recall / np.maximum(precision + recall, 1e-300))[:-1]
    f1, threshold = f1_max(scores, labels)
    assert f1 == pytest.approx(by_threshold.max(), abs=1e-12)
    assert threshold == max(thresholds[by_threshold >= by_threshold.max() - 1e-13])
    # An alarm is at or above the threshold.
    alarm = scores >= threshold
    assert f1 == pytest.approx(2 * (alarm & labels).sum() / (alarm.sum() + labels.sum()))


@pytest.mark.parametrize("labels", [[], [True, True], [False, False]])
def test_rankings_of_one_class_are_undefined(labels):
    scores, labels = np.arange(len(labels), dtype=np.float32), np.array(labels, bool)
    for metric in (auroc, average_precision, f1_max, roc_curve_points, pr_curve_points):
        assert metric(scores, labels) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(2, 7), st.integers(1, 40), st.floats(0.02, 0.9))
def test_any_small_set_agrees_with_the_plain_loops(seed, count, size, levels, share):
    maps, masks = image_set(seed, count, size, levels, share)
    flat, truth = maps.ravel().tolist(), masks.ravel().tolist()
    if not masks.any() or masks.all():
        assert aupro_exact(maps, masks) is None
        assert auroc(maps, masks) is None
        return
    assert aupro_exact(maps, masks) == pytest.approx(plain.aupro_exact(maps, masks, 0.3), abs=1e-12)
    assert auroc(maps, masks) == pytest.approx(plain.auroc(flat, truth), abs=1e-12)
    assert average_precision(maps, masks) == pytest.approx(plain.average_precision(flat, truth), abs=1e-12)
    assert f1_max(maps, masks)[0] == pytest.approx(plain.f1_max(flat, truth), abs=1e-12)
    # Rank metrics do not see a monotone change of the values.
    assert aupro_exact(4 * maps, masks) == pytest.approx(aupro_exact(maps, masks), abs=1e-12)


def test_thinned_curves_keep_their_areas():
    maps, masks = smooth_set()
    roc, pr, pro = roc_curve_points(maps, masks), pr_curve_points(maps, masks), pro_curve_points(maps, masks)
    assert max(len(roc), len(pr), len(pro)) < 500
    assert auc(*roc.T) == pytest.approx(auroc(maps, masks), abs=1e-3)
    assert auc(*pr.T) == pytest.approx(average_precision(maps, masks), abs=3e-3)
    assert auc(*pro.T) / 0.3 == pytest.approx(aupro_exact(maps, masks), abs=1e-3)
    assert roc[0].tolist() == [0, 0]
    assert roc[-1].tolist() == [1, 1]
    for curve in (roc, pr, pro):
        assert (np.diff(curve[:, 0]) >= 0).all()
