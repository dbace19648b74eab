"""Scores of the images kept for judging, by the detector that the agent runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from calibrate.defects.painting import Item
from calibrate.errors import TrainingError
from calibrate.metrics.ranking import auroc
from calibrate.tuning.images import Loader
from calibrate.tuning.verdict import JudgedScores
from fbclip.artefacts.adapter import Adapter
from fbclip.backbone.tower import Backbone
from fbclip.detector import Detector, Job

_BATCH = 8


def judge(
    backbone: Backbone,
    digest: str,
    base: Adapter | None,
    tuned: Adapter,
    items: Sequence[Item],
    loader: Loader,
    advance: Callable[[int], None],
) -> JudgedScores:
    """Image margins and per-image pixel AUROC of both adapters.

    Raises TrainingError when a score is not finite, AdapterError when an adapter does not fit the backbone.
    """
    adapters = [tuned] if base is None else [base, tuned]
    detector = Detector(backbone, digest, adapters, backbone.projection.device)
    margins = np.full((len(adapters), len(items)), np.nan)
    pixels = np.full((len(adapters), len(items)), np.nan)
    for start in range(0, len(items), _BATCH):
        loaded = [loader.load(item) for item in items[start : start + _BATCH]]
        for row, adapter in enumerate(adapters):
            sigma = detector.smoothing[adapter.id]
            found = detector.infer([Job(one.image[None], adapter.id, sigma) for one in loaded])
            for place, (one, prediction) in enumerate(zip(loaded, found, strict=True), start):
                if not (np.isfinite(prediction.margin) and np.isfinite(prediction.map).all()):
                    raise TrainingError(f"{items[place].sample.path}: the model gives a score that is not finite")
                margins[row, place] = prediction.margin
                if one.label and one.mask is not None:
                    pixels[row, place] = _pixel_auroc(prediction.map, one.mask.numpy())
        advance(len(loaded))
    return JudgedScores(
        units=np.array([item.sample.unit for item in items]),
        labels=np.array([item.anomalous for item in items]),
        before=None if base is None else margins[0],
        after=margins[-1],
        pixel_before=None if base is None else pixels[0],
        pixel_after=pixels[-1],
    )


def _pixel_auroc(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """NaN where the resized mask is empty or full."""
    found = auroc(values.ravel(), mask.ravel())
    return float("nan") if found is None else found
