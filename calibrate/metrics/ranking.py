"""How well scores rank positives above negatives: AUROC, average precision, the best F1.

All are exact with ties: equal scores count as found together. A metric of data that hold one class only, or nothing,
is None. Scores (N,) of any float type, finite; labels (N,) bool; arrays of more axes are read flat.
"""

from __future__ import annotations

import numpy as np

from calibrate.errors import DataError
from calibrate.metrics.groups import Array, Groups, RankingTally, Totals, group_positives
from calibrate.metrics.points import CurvePoints


def auroc(scores: Array, labels: Array) -> float | None:
    """Chance in 0..1 that a random positive scores above a random negative, a tie counting half.

    Raises DataError for scores that are not finite or not as many as the labels; so do the others here.
    """
    tally = _tally(scores, labels)
    return None if tally is None else tally.auroc


def average_precision(scores: Array, labels: Array) -> float | None:
    """Σ (R_k − R_{k−1})·P_k over the distinct scores in descending order, in 0..1; nothing is interpolated."""
    tally = _tally(scores, labels)
    return None if tally is None else tally.average_precision


def f1_max(scores: Array, labels: Array) -> tuple[float, float] | None:
    """(F1, threshold): the largest F1 of `score >= threshold`; of equal ones the highest threshold."""
    tally = _tally(scores, labels)
    return None if tally is None else (tally.f1, tally.f1_threshold)


def roc_curve_points(scores: Array, labels: Array) -> Array | None:
    """float64 (K,2), K < 500: FPR and TPR from (0,0) to (1,1)."""
    points = _points(scores, labels)
    return None if points is None else points.roc()


def pr_curve_points(scores: Array, labels: Array) -> Array | None:
    """float64 (K,2), K < 500: recall from 0 to 1, and precision."""
    points = _points(scores, labels)
    return None if points is None else points.precision_recall()


def _tally(scores: Array, labels: Array) -> RankingTally | None:
    ranked = _ranked(scores, labels)
    if ranked is None:
        return None
    tally = RankingTally(ranked[0])
    tally.add(ranked[1])
    return tally


def _points(scores: Array, labels: Array) -> CurvePoints | None:
    ranked = _ranked(scores, labels)
    if ranked is None:
        return None
    points = CurvePoints(ranked[0])
    points.add(ranked[1])
    return points


def _ranked(scores: Array, labels: Array) -> tuple[Totals, Groups] | None:
    if scores.shape != labels.shape:
        raise DataError(f"scores {scores.shape} and labels {labels.shape} differ in shape")
    if not np.isfinite(scores).all():
        raise DataError("scores are not finite")
    chosen = np.asarray(labels, bool)
    negatives, values = scores[~chosen], scores[chosen]
    totals = Totals(len(negatives), len(values))
    if not totals.both:
        return None
    negatives.sort()
    return totals, group_positives(negatives, values)
