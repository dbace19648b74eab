"""The seven numbers of a class and their mean over classes; what is undefined is None, never 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrate.evaluation.document import Numbers, Points
from calibrate.evaluation.evaluated_images import EvaluatedImage
from calibrate.metrics.points import pr_curve_points, roc_curve_points
from calibrate.metrics.ranking import auroc, average_precision, f1_max

METRICS: tuple[str, ...] = tuple(Numbers.model_fields)


@dataclass(frozen=True)
class ImageNumbers:
    """roc: (FPR, TPR), pr: (recall, precision), thinned; empty where the numbers are None."""

    auroc: float | None
    average_precision: float | None
    f1_max: float | None
    roc: Points
    pr: Points


def image_numbers(images: Sequence[EvaluatedImage], paper: bool) -> ImageNumbers:
    """Of the images that have a margin.

    Ranked by the margin, which never saturates; by the paper's definition by its probability in float64, in which
    margins up to 36 keep their order.
    """
    scored = [(image.margin, image.anomalous) for image in images if image.margin is not None]
    scores = np.array([margin for margin, _ in scored], dtype=np.float64)
    if paper:
        scores = probability(scores)
    labels = np.array([anomalous for _, anomalous in scored], dtype=np.bool_)
    best = f1_max(scores, labels)
    return ImageNumbers(
        auroc(scores, labels),
        average_precision(scores, labels),
        None if best is None else best[0],
        points(roc_curve_points(scores, labels)),
        points(pr_curve_points(scores, labels)),
    )


def probability(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logistic function, without overflow for margins of any size."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -margins)), dtype=np.float64)


def points(curve: NDArray[np.float64] | None) -> Points:
    """(K,2) -> pairs that JSON can hold, rounded beyond what a plot shows."""
    return [] if curve is None else [(round(float(x), 6), round(float(y), 6)) for x, y in curve]


def mean_numbers(classes: Iterable[Numbers]) -> Numbers:
    """Each number's mean over the classes that have it."""
    found = list(classes)
    means = {}
    for name in METRICS:
        values = [value for value in (getattr(numbers, name) for numbers in found) if value is not None]
        means[name] = sum(values) / len(values) if values else None
    return Numbers(**means)
