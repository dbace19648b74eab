"""What is asked of a run, and everything that its result depends on, as the values that tell one run from another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from calibrate.datasets.sample import data_sha256
from calibrate.defects.kinds import GENERATOR_VERSION
from calibrate.defects.on_images import EVALUATION_KINDS, TUNE_KINDS, Item
from calibrate.tuning.model import TuningModel
from calibrate.tuning.split import TuningSplit
from calibrate.tuning.training import Recipe
from fbclip.files import canonical_json, file_sha256
from fbclip.images.geometry import Roi


@dataclass(frozen=True)
class TuningRequest:
    """How to tune. patience: epochs without a lower loss on the validation images before the end.

    synthetic: painted versions of a normal image, where no defect is real; cache_mb: memory for features; keep: write
    the tuned adapter even if it is not better.
    """

    recipe: Recipe
    batch: int = 4
    patience: int = 3
    augment: bool = False
    synthetic: int = 4
    cache_mb: int = 2048
    keep: bool = False


def description(model: TuningModel, split: TuningSplit, roi: Roi | None, request: TuningRequest) -> dict[str, Any]:
    """Everything that the tuned parameters depend on, as plain values; where the run keeps its cache is not in it.

    It is part of an adapter's provenance, so the names are stored ones.
    """
    out: dict[str, Any] = {
        "recipe": asdict(request.recipe),
        "seed": request.recipe.seed,
        "batch": request.batch,
        "patience": request.patience,
        "augment": request.augment,
        "mode": split.mode,
        "base": None if model.base is None else model.base.id,
        "from_scratch": model.from_scratch,
        "backbone_sha256": model.backbone_sha256,
        "method": model.method.model_dump(mode="json"),
        "device": model.backbone.projection.device.type,
        "roi": None if roi is None else roi.model_dump(),
        "data_sha256": data_sha256(split.samples),
        "parts": {
            "tune": _items_sha256(split.train),
            "stop": _items_sha256(split.validation),
            "judge": _items_sha256(split.test),
        },
    }
    if split.mode == "good only":
        out["synthetic"] = request.synthetic
        out["tune_kinds"], out["judge_kinds"] = list(TUNE_KINDS), list(EVALUATION_KINDS)
        out["generator_version"] = GENERATOR_VERSION
    return out


def run_key(described: dict[str, Any]) -> str:
    """Digest of a description: an unfinished run with another one is not gone on with."""
    return hashlib.sha256(canonical_json(described)).hexdigest()


def _items_sha256(items: Sequence[Item]) -> str:
    """Contents in their order, masks included."""
    rows = []
    for item in items:
        mask = None if item.sample.mask is None else file_sha256(item.sample.mask)
        rows.append([item.sample.sha256, item.sample.label, mask, None if item.defect is None else item.defect.seed])
    return hashlib.sha256(canonical_json(rows)).hexdigest()
