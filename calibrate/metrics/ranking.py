"""How well scores rank positives above negatives: AUROC, average precision, the best F1.

All are exact with ties: equal scores count as found together. A metric of data that hold one class only, or nothing,
is None. Scores (N,) of any float type, finite; labels (N,) bool; arrays of more axes are read flat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibrate.errors import DataError

Array = NDArray[Any]


class Totals(NamedTuple):
    """What the whole data set holds; known before the first count."""

    negatives: int
    positives: int
    regions: int = 0

    @property
    def both(self) -> bool:
        """Whether there is something to tell apart."""
        return self.negatives > 0 and self.positives > 0


class Groups(NamedTuple):
    """Positives of equal value, values strictly descending; all arrays (G,), counts over the whole data set."""

    values: Array
    positives: Array
    """int64: positives of exactly this value, >= 1."""
    weights: Array
    """float64: sum over them of 1/|region|; zero where there are no regions."""
    tp: Array
    """int64: positives at or above the value."""
    fp_before: Array
    """int64: negatives strictly above the value."""
    fp: Array
    """int64: negatives at or above the value."""


def group_positives(
    negatives: Array, values: Array, weights: Array | None = None, tp_above: int = 0, fp_above: int = 0
) -> Groups:
    """Groups of the positives `values` (P,) in any order, P >= 1, among `negatives` (M,) sorted ascending.

    Both are of one float type and finite. `weights` (P,) float64 goes with `values`. `tp_above` and `fp_above` count
    what lies above both arrays when they are a slice of a larger data set.
    """
    order = np.argsort(values)[::-1]
    ranked = values[order]
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    distinct = ranked[starts]
    tp = np.append(starts[1:], len(ranked))
    summed = np.zeros(len(starts)) if weights is None else np.add.reduceat(weights[order], starts)
    return Groups(
        distinct,
        np.diff(tp, prepend=0),
        summed,
        tp_above + tp,
        fp_above + len(negatives) - np.searchsorted(negatives, distinct, side="right"),
        fp_above + len(negatives) - np.searchsorted(negatives, distinct, side="left"),
    )


def limited_area(groups: Groups, totals: Totals, limit: float) -> float:
    """This slice's share of the area under PRO over FPR in 0..limit, divided by `limit`.

    The curve is the polyline through (0,0) and one point a distinct value. By parts its area is a sum over positives:
    each adds its weight from the FPR at which it is found, on the average of its group's two ends, up to the limit;
    the segment that crosses the limit is cut there.
    """
    room = limit * totals.negatives
    before, after = groups.fp_before, groups.fp
    width = np.maximum(after - before, 1)
    inside = room - (before + after) / 2
    crossing = np.square(np.maximum(room - before, 0.0)) / (2 * width)
    reach = np.where(after <= room, inside, crossing)
    return float(np.sum(groups.weights * reach)) / (room * totals.regions)


@dataclass
class RankingTally:
    """AUROC, average precision and the best F1 of groups that come in descending order, in one or many slices."""

    totals: Totals
    auroc: float = 0.0
    average_precision: float = 0.0
    f1: float = -math.inf
    f1_threshold: float = math.nan

    def add(self, groups: Groups) -> None:
        """The next slice, strictly below all earlier ones; needs `totals.both`."""
        negatives, positives = self.totals.negatives, self.totals.positives
        # A tied negative counts half.
        won = negatives - (groups.fp_before + groups.fp) / 2
        self.auroc += float(np.sum(groups.positives * won)) / (negatives * positives)
        self.average_precision += float(np.sum(groups.positives * (groups.tp / (groups.tp + groups.fp)))) / positives
        f1 = 2 * groups.tp / (groups.tp + groups.fp + positives)
        best = int(np.argmax(f1))
        # Of equal ones the highest threshold stays.
        if f1[best] > self.f1:
            self.f1, self.f1_threshold = float(f1[best]), float(groups.values[best])


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


def _tally(scores: Array, labels: Array) -> RankingTally | None:
    ranked = ranked_groups(scores, labels)
    if ranked is None:
        return None
    tally = RankingTally(ranked[0])
    tally.add(ranked[1])
    return tally


def ranked_groups(scores: Array, labels: Array) -> tuple[Totals, Groups] | None:
    """The positives among the negatives; None unless there are both. Raises DataError for other shapes, non-finite."""
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
