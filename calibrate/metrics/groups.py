"""Where every positive stands among all scores: the one count that all ranking metrics follow from.

Going down from the highest score, a metric changes its course only at values that a positive has. So the negatives
need no label, no region and no order of their own beyond a plain sort, and all that is exact about AUROC, average
precision, F1 and AUPRO is in a few integers for each distinct value of a positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
