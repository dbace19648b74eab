"""From samples to an outcome: parts, features, loop, judging. What a run depends on is in its key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from calibrate.datasets.sample import Sample, data_sha256
from calibrate.defects.kinds import GENERATOR_VERSION
from calibrate.defects.on_images import JUDGE_KINDS, TUNE_KINDS
from calibrate.defects.painting import Item
from calibrate.errors import DataError
from calibrate.tuning.cache import TokenCache
from calibrate.tuning.features import Features
from calibrate.tuning.images import Loader
from calibrate.tuning.judging import judge
from calibrate.tuning.loop import Report, Settings, run
from calibrate.tuning.method import start_from
from calibrate.tuning.outcome import Outcome, numbers
from calibrate.tuning.parts import MAX_IMAGES, TuningSplit, make_parts
from calibrate.tuning.training import TuningTrainer
from calibrate.tuning.verdict import decide
from fbclip.artefacts.adapter import Adapter
from fbclip.backbone.tower import Backbone
from fbclip.files import canonical_json, file_sha256
from fbclip.images.geometry import Roi
from fbclip.method.config import FBCLIPConfig
from fbclip.method.text import TextTower

MB = 1 << 20


@dataclass(frozen=True, eq=False)
class TuningModel:
    """The frozen parts on one device, the method to tune, and the adapter to start from and to compare with."""

    backbone: Backbone
    backbone_sha256: str
    tower: TextTower
    method: FBCLIPConfig
    base: Adapter | None
    from_scratch: bool = False


def tune_adapter(
    model: TuningModel,
    samples: Sequence[Sample],
    loader: Loader,
    settings: Settings,
    keep: bool,
    work: Path,
    report: Report,
) -> Outcome:
    """Tune, and judge against the base; the state of the run is in `work` until the caller drops it.

    Raises DataError, TrainingError, ConfigError (a state of another run in `work`), AdapterError.
    """
    parts = make_parts(samples, settings.synthetic, settings.recipe.seed)
    images = seen_images(parts, None if model.from_scratch else model.base)
    about = description(model, parts, loader.framing.roi, settings)
    key = hashlib.sha256(canonical_json(about)).hexdigest()
    start = None if model.from_scratch or model.base is None else start_from(model.base, model.method)
    trainer = TuningTrainer(model.backbone, model.tower, model.method, settings.recipe, start)
    layers = model.method.feature_layers
    shape = (len(layers), model.backbone.grid**2 + 1, model.backbone.config.width)
    tune_count = 0 if settings.augment else len(parts.tune)
    # One budget for both: the few images that stop are read as often as those that tune, so they come first.
    row = 4 * shape[0] * shape[1] * shape[2]
    limit = settings.cache_mb * MB
    for_stop = min(limit, len(parts.stop) * row)
    stop_cache = TokenCache(len(parts.stop), shape, for_stop, work)
    tune_cache = TokenCache(tune_count, shape, limit - for_stop, work)
    try:
        tune = Features(parts.tune, loader, model.backbone, layers, None if settings.augment else tune_cache)
        stop = Features(parts.stop, loader, model.backbone, layers, stop_cache)
        trained = run(trainer, tune, stop, settings, work, key, report)
    finally:
        tune_cache.close()
        stop_cache.close()
    tuned = trained.tuned.adapter(model.backbone_sha256, model.backbone.config, {})
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        report("judging", done, len(parts.judge))

    judged = judge(model.backbone, model.backbone_sha256, model.base, tuned, parts.judge, loader, advance)
    verdict = decide(judged, settings.recipe.seed)
    provenance = {
        **about,
        "pictures": images,
        "result": numbers(parts, trained, verdict, keep),
    }
    # Provenance is outside of the id, so the adapter that was judged and the one that is written are one.
    return Outcome(
        parts,
        trained,
        trained.tuned.adapter(model.backbone_sha256, model.backbone.config, provenance),
        model.base,
        verdict,
        keep,
    )


def seen_images(parts: TuningSplit, base: Adapter | None) -> list[str]:
    """sha256 of every image behind the result, those of the base that it starts from included.

    Raises DataError for more than an adapter can list.
    """
    before = [] if base is None else base.manifest.provenance.get("pictures", [])
    # What an earlier version or another tool put there may be a count.
    seen = {s.sha256 for s in parts.samples} | (set(before) if isinstance(before, list) else set())
    if len(seen) > MAX_IMAGES:
        raise DataError(f"{len(seen)} images with those of the base; an adapter lists at most {MAX_IMAGES}")
    return sorted(seen)


def description(model: TuningModel, parts: TuningSplit, roi: Roi | None, settings: Settings) -> dict[str, Any]:
    """Everything that the tuned parameters depend on, as plain values; where the run keeps its cache is not in it."""
    out: dict[str, Any] = {
        "recipe": asdict(settings.recipe),
        "seed": settings.recipe.seed,
        "batch": settings.batch,
        "patience": settings.patience,
        "augment": settings.augment,
        "mode": parts.mode,
        "base": None if model.base is None else model.base.id,
        "from_scratch": model.from_scratch,
        "backbone_sha256": model.backbone_sha256,
        "method": model.method.model_dump(mode="json"),
        "device": model.backbone.projection.device.type,
        "roi": None if roi is None else roi.model_dump(),
        "data_sha256": data_sha256(parts.samples),
        "parts": {name: _part_sha256(items) for name, items in _named(parts).items()},
    }
    if parts.mode == "good only":
        out["synthetic"] = settings.synthetic
        out["tune_kinds"], out["judge_kinds"] = list(TUNE_KINDS), list(JUDGE_KINDS)
        out["generator_version"] = GENERATOR_VERSION
    return out


def _named(parts: TuningSplit) -> Mapping[str, tuple[Item, ...]]:
    return {"tune": parts.tune, "stop": parts.stop, "judge": parts.judge}


def _part_sha256(items: Sequence[Item]) -> str:
    """Contents in their order, masks included."""
    rows = []
    for item in items:
        mask = None if item.sample.mask is None else file_sha256(item.sample.mask)
        rows.append([item.sample.sha256, item.sample.label, mask, None if item.painted is None else item.painted.seed])
    return hashlib.sha256(canonical_json(rows)).hexdigest()
