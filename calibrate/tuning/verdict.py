"""Did tuning help? Pure: scores before and after on pictures kept for judging -> keep the tuned adapter, or the base.

A paired bootstrap over units, since pictures of one unit are not independent. Few units adopt noise: with 5 defects a
change that does nothing passes far more often than its nominal level, so below 20 + 20 units nothing is decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Decision = Literal["kept", "not better, base kept", "undecided, base kept", "no base"]

LEAST_UNITS = 20
RESAMPLES = 2000
CONFIDENCE = 0.95
_AT_ONCE = 100


@dataclass(frozen=True, eq=False)
class Judged:
    """One row a picture (n,): unit, label, image score before and after; pixel AUROC of each defective picture.

    `before` is None without a base. NaN in the pixel columns where there is no mask; None where there is none at all.
    """

    units: Array
    labels: Array
    before: Array | None
    after: Array
    pixel_before: Array | None = None
    pixel_after: Array | None = None


@dataclass(frozen=True)
class Change:
    """A metric in 0..1 before and after, and the interval of their difference."""

    before: float
    after: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.after - self.before


@dataclass(frozen=True)
class Verdict:
    """image: AUROC of the pictures; pixel: mean over the defective pictures of their AUROC, None without masks."""

    decision: Decision
    good_units: int
    bad_units: int
    image: Change | None
    pixel: Change | None

    @property
    def tuned_is_better(self) -> bool:
        return self.decision in {"kept", "no base"}


def decide(judged: Judged, seed: int = 0, resamples: int = RESAMPLES) -> Verdict:
    """Kept only if the 95 % interval of the difference in image AUROC lies above 0; seeded.

    A loss of pixel AUROC whose interval lies below 0 speaks against it. Raises ValueError for scores that are not
    finite or hold one class only.
    """
    labels = np.asarray(judged.labels, bool)
    if not labels.any() or labels.all():
        raise ValueError("judging needs good and defective pictures")
    names, unit = np.unique(judged.units, return_inverse=True)
    good, bad = len(np.unique(unit[~labels])), len(np.unique(unit[labels]))
    if not np.isfinite(judged.after).all():
        raise ValueError("the scores are not finite")
    if judged.before is None:
        return Verdict("no base", good, bad, None, None)
    if not np.isfinite(judged.before).all():
        raise ValueError("the scores are not finite")
    counts = resampled(unit, labels, len(names), seed, resamples)
    once = np.ones((1, len(labels)))
    aurocs = [
        (weighted_auroc(score, labels, once)[0], weighted_auroc(score, labels, counts))
        for score in (judged.before, judged.after)
    ]
    image = _change(aurocs)
    pixel = None
    if judged.pixel_before is not None and judged.pixel_after is not None:
        known = np.isfinite(judged.pixel_before) & np.isfinite(judged.pixel_after)
        if known.any():
            columns = [np.asarray(c)[known] for c in (judged.pixel_before, judged.pixel_after)]
            weights = counts[:, known]
            # A draw without any masked picture says nothing about them.
            weights = weights[weights.sum(axis=1) > 0]
            pixel = _change([(float(c.mean()), weights @ c / weights.sum(axis=1)) for c in columns])
    decision: Decision
    if min(good, bad) < LEAST_UNITS:
        decision = "undecided, base kept"
    elif image.low > 0 and (pixel is None or pixel.high >= 0):
        decision = "kept"
    else:
        decision = "not better, base kept"
    return Verdict(decision, good, bad, image, pixel)


def resampled(unit: Array, labels: Array, units: int, seed: int, resamples: int) -> Array:
    """How often each picture (n,) is drawn, (R,n): whole units, with replacement, apart by the labels they hold."""
    rng = np.random.default_rng(seed)
    has_good, has_bad = np.zeros(units, bool), np.zeros(units, bool)
    has_good[unit[~labels]] = True
    has_bad[unit[labels]] = True
    counts = np.zeros((resamples, units))
    for stratum in (has_good & ~has_bad, has_bad & ~has_good, has_good & has_bad):
        size = int(stratum.sum())
        if size:
            counts[:, stratum] = rng.multinomial(size, np.full(size, 1 / size), resamples)
    return np.asarray(counts[:, unit])


def weighted_auroc(scores: Array, labels: Array, weights: Array) -> Array:
    """AUROC (R,) of scores (n,) for each row of weights (R,n), a tie counting half."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    positive = labels[order]
    out = []
    for first in range(0, len(weights), _AT_ONCE):
        rows = weights[first : first + _AT_ONCE, order]
        bad = np.add.reduceat(rows * positive, starts, axis=1)
        good = np.add.reduceat(rows * ~positive, starts, axis=1)
        below = np.cumsum(good, axis=1) - good
        out.append((bad * (below + 0.5 * good)).sum(axis=1) / (bad.sum(axis=1) * good.sum(axis=1)))
    return np.concatenate(out)


def _change(columns: list[tuple[float, Array]]) -> Change:
    """((before, its draws), (after, its draws)) -> the difference's interval by percentiles."""
    (before, drawn_before), (after, drawn_after) = columns
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn_after - drawn_before, (tail, 1 - tail))
    return Change(float(before), float(after), float(low), float(high))
