"""Did tuning help? Test images are scored by both adapters, and the tuned one is kept only if it is better.

A paired bootstrap over units, since images of one unit are not independent. Few units adopt noise: with 5 defects a
change that does nothing passes far more often than its nominal level, so below 20 + 20 units nothing is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from calibrate.defects.on_images import Item
from calibrate.errors import TrainingError
from calibrate.metrics.ranking import auroc
from calibrate.processes import ALONE, ProcessGroup
from calibrate.statistics.bootstrap import Floats, draw_weights, weighted_ranking
from calibrate.statistics.intervals import percentile_interval
from calibrate.tuning.images import ImageLoader
from calibrate.tuning.model import TuningModel
from fbclip.artefacts.adapter import Adapter
from fbclip.detector import Detector, Job
from fbclip.engines.torch_engine import TorchEngine
from fbclip.frozen import Frozen

Array = NDArray[Any]
KeepDecision = Literal["kept", "not better, base kept", "undecided, base kept", "no base"]

LEAST_UNITS = 20
RESAMPLES = 2000
_BATCH = 8


@dataclass(frozen=True, eq=False)
class AdapterScores:
    """One row an image (n,): unit, label, image score before and after; pixel AUROC of each anomalous image.

    `before` is None without a base. NaN in the pixel columns where there is no mask; None where there is none at all.
    """

    units: Array
    labels: Array
    before: Array | None
    after: Array
    pixel_before: Array | None = None
    pixel_after: Array | None = None


class Change(Frozen):
    """A metric in 0..1 before and after; the difference and its interval."""

    before: float
    after: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class AdapterComparison:
    """image: AUROC of the images; pixel: mean over the anomalous images of their AUROC, None without masks."""

    decision: KeepDecision
    normal_units: int
    anomalous_units: int
    image: Change | None
    pixel: Change | None

    @property
    def tuned_is_better(self) -> bool:
        return self.decision in {"kept", "no base"}


def score_adapters(
    model: TuningModel,
    tuned: Adapter,
    items: Sequence[Item],
    loader: ImageLoader,
    advance: Callable[[int], None],
    processes: ProcessGroup = ALONE,
) -> AdapterScores:
    """Image margins and per-image pixel AUROC of the base and of `tuned`, by the detector that the agent runs.

    Of several processes each scores its share, and all know the scores of all.
    Raises TrainingError when a score is not finite, AdapterError when an adapter does not fit the backbone.
    """
    adapters = [tuned] if model.base is None else [model.base, tuned]
    device = model.backbone.projection.device
    detector = Detector(TorchEngine(model.backbone, model.backbone_sha256, adapters, device))
    starts = range(0, len(items), _BATCH)
    # By batch, so that each image is judged beside the same ones however many processes there are.
    own = [starts[k] for k in processes.share(len(starts))]
    first, last = (own[0], min(own[-1] + _BATCH, len(items))) if own else (0, 0)
    margins = np.zeros((len(adapters), len(items)))
    pixels = np.zeros((len(adapters), len(items)))
    pixels[:, first:last] = np.nan
    for start in own:
        loaded = [loader.load(item) for item in items[start : start + _BATCH]]
        for row, adapter in enumerate(adapters):
            sigma = detector.smoothing[adapter.id]
            predictions = detector.infer([Job(one.image[None], adapter.id, sigma) for one in loaded])
            for column, (one, prediction) in enumerate(zip(loaded, predictions, strict=True), start):
                if not prediction.finite:
                    raise TrainingError(f"{items[column].sample.path}: the model gives a score that is not finite")
                margins[row, column] = prediction.margin
                if one.label and one.mask is not None:
                    pixels[row, column] = _pixel_auroc(prediction.map, one.mask.numpy())
        advance(len(loaded))
    # Elsewhere is 0, so that a sum is the number itself.
    for values in (margins, pixels):
        processes.sum(torch.from_numpy(values))
    return AdapterScores(
        units=np.array([item.sample.unit for item in items]),
        labels=np.array([item.anomalous for item in items]),
        before=None if model.base is None else margins[0],
        after=margins[-1],
        pixel_before=None if model.base is None else pixels[0],
        pixel_after=pixels[-1],
    )


def compare(scores: AdapterScores, seed: int = 0, resamples: int = RESAMPLES) -> AdapterComparison:
    """Kept only if the 95 % interval of the difference in image AUROC lies above 0; pure, and seeded.

    A loss of pixel AUROC whose interval lies below 0 speaks against it. Raises ValueError for scores that are not
    finite or hold one class only.
    """
    labels = np.asarray(scores.labels, bool)
    if not labels.any() or labels.all():
        raise ValueError("a comparison needs normal and anomalous images")
    _, unit = np.unique(scores.units, return_inverse=True)
    normal, anomalous = len(np.unique(unit[~labels])), len(np.unique(unit[labels]))
    if not np.isfinite(scores.after).all():
        raise ValueError("the scores are not finite")
    if scores.before is None:
        return AdapterComparison("no base", normal, anomalous, None, None)
    if not np.isfinite(scores.before).all():
        raise ValueError("the scores are not finite")
    weights = list(draw_weights(scores.units.tolist(), labels, resamples, np.random.default_rng(seed)))
    image = _image_change(scores.before, scores.after, labels, weights)
    pixel = None
    if scores.pixel_before is not None and scores.pixel_after is not None:
        pixel = _pixel_change(scores.pixel_before, scores.pixel_after, np.concatenate(weights))
    decision: KeepDecision
    if min(normal, anomalous) < LEAST_UNITS:
        decision = "undecided, base kept"
    elif image.low > 0 and (pixel is None or pixel.high >= 0):
        decision = "kept"
    else:
        decision = "not better, base kept"
    return AdapterComparison(decision, normal, anomalous, image, pixel)


def _image_change(before: Array, after: Array, labels: Array, weights: Sequence[Floats]) -> Change:
    def values(scores: Array) -> tuple[float, Floats]:
        once = weighted_ranking(scores, labels, np.ones((1, len(labels)))).auroc
        return float(once[0]), np.concatenate([weighted_ranking(scores, labels, part).auroc for part in weights])

    return _change(values(before), values(after))


def _pixel_change(before: Array, after: Array, weights: Floats) -> Change | None:
    known = np.isfinite(before) & np.isfinite(after)
    if not known.any():
        return None
    drawn = weights[:, known]
    # A draw without any masked image says nothing about them.
    drawn = drawn[drawn.sum(axis=1) > 0]

    def values(column: Array) -> tuple[float, Floats]:
        return float(column.mean()), drawn @ column / drawn.sum(axis=1)

    return _change(values(before[known]), values(after[known]))


def _change(before: tuple[float, Floats], after: tuple[float, Floats]) -> Change:
    """(the value, its draws) of both -> the difference and its interval."""
    low, high = percentile_interval(after[1] - before[1])
    return Change(before=before[0], after=after[0], difference=after[0] - before[0], low=float(low), high=float(high))


def _pixel_auroc(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """NaN where the resized mask is empty or full."""
    found = auroc(values.ravel(), mask.ravel())
    return float("nan") if found is None else found
