"""Curves for a report: a few hundred points of a curve that has millions.

A point stays where the curve enters another cell of a fine grid, with the one before it. What lies between two points
that stay is one true segment or hidden in a single cell, so ties keep their slope and steep starts their shape.
"""

from __future__ import annotations

import numpy as np

from calibrate.metrics.ranking import Array, Groups, Totals, ranked_groups

CELLS = 80
"""Cells along each of FPR, TPR and PRO; each border is crossed once, so at most 2·3·CELLS + 2 points stay."""


class CurvePoints:
    """Thinned (fp, tp, PRO) of groups that come in descending order, in one or many slices."""

    def __init__(self, totals: Totals) -> None:
        self.totals = totals
        self._last = np.zeros((1, 3))
        self._kept = [self._last]

    def add(self, groups: Groups) -> None:
        """The next slice, strictly below all earlier ones."""
        regions = max(self.totals.regions, 1)
        pro = self._last[0, 2] + np.cumsum(groups.weights) / regions
        after = np.column_stack((groups.fp, groups.tp, pro))
        # Negatives that lie between two groups move the curve sideways only.
        before = np.column_stack((groups.fp_before, np.vstack((self._last, after[:-1]))[:, 1:]))
        self._keep(np.stack((before, after), axis=1).reshape(-1, 3))

    def _keep(self, rows: Array) -> None:
        rows = np.vstack((self._last, rows))
        scale = np.array([self.totals.negatives, self.totals.positives, 1.0])
        cells = np.floor(rows * (CELLS / scale))
        crossed = (cells[1:] != cells[:-1]).any(axis=1)
        stays = np.zeros(len(rows), bool)
        stays[:-1] |= crossed
        stays[1:] |= crossed
        self._kept.append(rows[stays])
        self._last = rows[-1:]

    def rows(self) -> Array:
        """float64 (K,3): false positives, true positives, PRO; from (0,0,0) to the whole data set."""
        # Below the last positive only negatives are left.
        end = self._last.copy()
        end[0, 0] = self.totals.negatives
        rows = np.vstack((*self._kept, self._last, end))
        new = np.concatenate(([True], (rows[1:] != rows[:-1]).any(axis=1)))
        return np.asarray(rows[new])

    def roc(self) -> Array:
        """float64 (K,2): FPR and TPR, both 0..1 and rising."""
        rows = self.rows()
        return np.column_stack((rows[:, 0] / self.totals.negatives, rows[:, 1] / self.totals.positives))

    def precision_recall(self) -> Array:
        """float64 (K,2): recall, rising, and precision; starts at recall 0 with the first point's precision."""
        rows = self.rows()[1:]
        found = rows[:, :2].sum(axis=1)
        rows = rows[found > 0]
        precision = rows[:, 1] / found[found > 0]
        recall = rows[:, 1] / self.totals.positives
        return np.column_stack((np.append(0.0, recall), np.append(precision[0], precision)))

    def pro(self, limit: float) -> Array:
        """float64 (K,2): FPR 0..limit and PRO, both rising; the last point is interpolated at the limit."""
        rows = self.rows()
        rate = rows[:, 0] / self.totals.negatives
        curve = np.column_stack((rate, rows[:, 2]))
        inside = curve[rate <= limit]
        if inside[-1, 0] == limit:
            return inside
        (x0, y0), (x1, y1) = inside[-1], curve[len(inside)]
        return np.vstack((inside, [limit, y0 + (limit - x0) / (x1 - x0) * (y1 - y0)]))


def roc_curve_points(scores: Array, labels: Array) -> Array | None:
    """float64 (K,2), K < 500: FPR and TPR from (0,0) to (1,1)."""
    points = _points(scores, labels)
    return None if points is None else points.roc()


def pr_curve_points(scores: Array, labels: Array) -> Array | None:
    """float64 (K,2), K < 500: recall from 0 to 1, and precision."""
    points = _points(scores, labels)
    return None if points is None else points.precision_recall()


def _points(scores: Array, labels: Array) -> CurvePoints | None:
    ranked = ranked_groups(scores, labels)
    if ranked is None:
        return None
    points = CurvePoints(ranked[0])
    points.add(ranked[1])
    return points
