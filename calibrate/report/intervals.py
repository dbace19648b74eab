"""How sure the numbers of images are: bootstrap intervals over units, from the margins that a run stored.

They cover which units were tested, and not another model, another memory or another line. The mean over classes is of
these classes: each is drawn on its own and none is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from calibrate.report.rows import ReportRow
from calibrate.statistics.bootstrap import Floats, draw_weights, weighted_ranking

RESAMPLES, CONFIDENCE, SEED = 1000, 0.95, 0
Intervals = Mapping[str, tuple[float, float]]
"""Of image_auroc and image_ap, as far as they are defined."""


@dataclass(frozen=True)
class ImageIntervals:
    """By the names of the classes that have normal and anomalous images, and of the mean over these."""

    classes: Mapping[str, Intervals] = field(default_factory=dict)
    mean: Intervals = field(default_factory=dict)


def image_intervals(rows: Iterable[ReportRow]) -> ImageIntervals:
    """By the exact definitions; the same rows give the same intervals."""
    of_class: dict[str, list[ReportRow]] = {}
    for row in rows:
        if row.anomalous is not None and row.margin is not None:
            of_class.setdefault(row.class_name, []).append(row)
    rng = np.random.default_rng(SEED)
    drawn = {name: _draw(own, rng) for name, own in of_class.items() if len({row.anomalous for row in own}) > 1}
    if not drawn:
        return ImageIntervals()
    mean = np.mean(list(drawn.values()), axis=0)
    return ImageIntervals({name: _interval(draws) for name, draws in drawn.items()}, _interval(mean))


def _draw(rows: list[ReportRow], rng: np.random.Generator) -> Floats:
    """AUROC and average precision, (2, RESAMPLES)."""
    margins = np.array([row.margin for row in rows], np.float64)
    labels = np.array([row.anomalous for row in rows], np.bool_)
    parts = draw_weights([row.unit for row in rows], labels, RESAMPLES, rng)
    return np.concatenate([np.stack(weighted_ranking(margins, labels, weights)) for weights in parts], axis=1)


def _interval(draws: Floats) -> Intervals:
    tail = (1 - CONFIDENCE) / 2
    # A draw whose units are all of one kind has no number.
    low, high = np.nanquantile(draws, (tail, 1 - tail), axis=1).tolist()
    return {
        name: (low[place], high[place])
        for place, name in enumerate(("image_auroc", "image_ap"))
        if np.isfinite(low[place])
    }
