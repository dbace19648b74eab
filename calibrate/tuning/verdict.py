"""Did tuning help? Pure: scores before and after on images kept for judging -> keep the tuned adapter, or the base.

A paired bootstrap over units, since images of one unit are not independent. Few units adopt noise: with 5 defects a
change that does nothing passes far more often than its nominal level, so below 20 + 20 units nothing is decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibrate.statistics.bootstrap import draw_weights, weighted_ranking

Array = NDArray[Any]
Decision = Literal["kept", "not better, base kept", "undecided, base kept", "no base"]

LEAST_UNITS = 20
RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class JudgedScores:
    """One row an image (n,): unit, label, image score before and after; pixel AUROC of each anomalous image.

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
class KeepDecision:
    """image: AUROC of the images; pixel: mean over the anomalous images of their AUROC, None without masks."""

    decision: Decision
    normal_units: int
    anomalous_units: int
    image: Change | None
    pixel: Change | None

    @property
    def tuned_is_better(self) -> bool:
        return self.decision in {"kept", "no base"}


def decide(judged: JudgedScores, seed: int = 0, resamples: int = RESAMPLES) -> KeepDecision:
    """Kept only if the 95 % interval of the difference in image AUROC lies above 0; seeded.

    A loss of pixel AUROC whose interval lies below 0 speaks against it. Raises ValueError for scores that are not
    finite or hold one class only.
    """
    labels = np.asarray(judged.labels, bool)
    if not labels.any() or labels.all():
        raise ValueError("judging needs normal and anomalous images")
    _, unit = np.unique(judged.units, return_inverse=True)
    normal, anomalous = len(np.unique(unit[~labels])), len(np.unique(unit[labels]))
    if not np.isfinite(judged.after).all():
        raise ValueError("the scores are not finite")
    if judged.before is None:
        return KeepDecision("no base", normal, anomalous, None, None)
    if not np.isfinite(judged.before).all():
        raise ValueError("the scores are not finite")
    parts = list(draw_weights(judged.units.tolist(), labels, resamples, np.random.default_rng(seed)))
    counts = np.concatenate(parts)
    aurocs: list[tuple[float, Array]] = []
    for score in (judged.before, judged.after):
        once = weighted_ranking(score, labels, np.ones((1, len(labels)))).auroc
        aurocs.append((float(once[0]), np.concatenate([weighted_ranking(score, labels, w).auroc for w in parts])))
    image = _change(aurocs)
    pixel = None
    if judged.pixel_before is not None and judged.pixel_after is not None:
        known = np.isfinite(judged.pixel_before) & np.isfinite(judged.pixel_after)
        if known.any():
            columns = [np.asarray(c)[known] for c in (judged.pixel_before, judged.pixel_after)]
            weights = counts[:, known]
            # A draw without any masked image says nothing about them.
            weights = weights[weights.sum(axis=1) > 0]
            pixel = _change([(float(c.mean()), weights @ c / weights.sum(axis=1)) for c in columns])
    decision: Decision
    if min(normal, anomalous) < LEAST_UNITS:
        decision = "undecided, base kept"
    elif image.low > 0 and (pixel is None or pixel.high >= 0):
        decision = "kept"
    else:
        decision = "not better, base kept"
    return KeepDecision(decision, normal, anomalous, image, pixel)


def _change(columns: list[tuple[float, Array]]) -> Change:
    """((before, its draws), (after, its draws)) -> the difference's interval by percentiles."""
    (before, drawn_before), (after, drawn_after) = columns
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn_after - drawn_before, (tail, 1 - tail))
    return Change(float(before), float(after), float(low), float(high))
