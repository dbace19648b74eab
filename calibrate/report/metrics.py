"""The table of metrics, and how sure the numbers of images are: bootstrap intervals over units.

The intervals come from the margins that a run stored. They cover which units were tested, and not another model,
another memory or another line. The mean over classes is of these classes: each is drawn on its own and none is left
out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from calibrate.evaluation.document import Definition, EvaluationDocument, Numbers
from calibrate.evaluation.evaluated_images import EvaluatedImage
from calibrate.statistics.bootstrap import Floats, draw_weights, weighted_ranking
from calibrate.statistics.intervals import percentile_interval

RESAMPLES, SEED = 1000, 0
HEADS = {
    "image_auroc": "AUROC",
    "image_ap": "AP",
    "image_f1_max": "best F1",
    "pixel_auroc": "AUROC",
    "pixel_ap": "AP",
    "pixel_f1_max": "best F1",
    "pixel_aupro": "AUPRO",
}
DEFINITIONS: dict[Definition, str] = {
    "exact": "Ties count exactly; AUPRO is the area under PRO up to a false-positive rate of 0.3, divided by 0.3.",
    "paper": "By the definitions of the released code, to be compared with published figures only.",
}

Intervals = Mapping[str, tuple[float, float]]
"""Of image_auroc and image_ap, as far as they are defined."""


@dataclass(frozen=True)
class ImageIntervals:
    """By the names of the classes that have normal and anomalous images, and of the mean over these."""

    classes: Mapping[str, Intervals] = field(default_factory=dict)
    mean: Intervals = field(default_factory=dict)


@dataclass(frozen=True)
class MetricRow:
    """A class, or the mean over all; intervals of some of the numbers."""

    name: str
    numbers: Numbers
    intervals: Intervals


def metric_rows(evaluation: EvaluationDocument, intervals: ImageIntervals) -> list[MetricRow]:
    """Every class, and the mean where there are several."""
    rows = [MetricRow(name, own, intervals.classes.get(name, {})) for name, own in evaluation.classes.items()]
    return [*rows, MetricRow("mean", evaluation.mean, intervals.mean)] if len(rows) > 1 else rows


def image_intervals(images: Iterable[EvaluatedImage]) -> ImageIntervals:
    """By the exact definitions; the same images give the same intervals."""
    of_class: dict[str, list[EvaluatedImage]] = {}
    for image in images:
        if image.margin is not None:
            of_class.setdefault(image.class_name, []).append(image)
    rng = np.random.default_rng(SEED)
    draws = {name: _draw(own, rng) for name, own in of_class.items() if len({i.anomalous for i in own}) > 1}
    if not draws:
        return ImageIntervals()
    mean = np.mean(list(draws.values()), axis=0)
    return ImageIntervals({name: _intervals(own) for name, own in draws.items()}, _intervals(mean))


def _draw(images: list[EvaluatedImage], rng: np.random.Generator) -> Floats:
    """AUROC and average precision, (2, RESAMPLES)."""
    margins = np.array([image.margin for image in images], np.float64)
    labels = np.array([image.anomalous for image in images], np.bool_)
    parts = draw_weights([image.unit for image in images], labels, RESAMPLES, rng)
    return np.concatenate([np.stack(weighted_ranking(margins, labels, weights)) for weights in parts], axis=1)


def _intervals(draws: Floats) -> Intervals:
    low, high = percentile_interval(draws).tolist()
    # A draw whose units are all of one kind has no number.
    return {
        name: (low[position], high[position])
        for position, name in enumerate(("image_auroc", "image_ap"))
        if np.isfinite(low[position])
    }
