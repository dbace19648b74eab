"""What tests of tuning share: a small labelled data set, a tiny model with golden weights, and runs on both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from calibrate.datasets.reader import read_data
from calibrate.datasets.sample import Sample
from calibrate.embedded.samples.files import write_png
from calibrate.embedded.samples.products import inbox_part
from calibrate.tuning.images import ImageLoader
from calibrate.tuning.loop import Report
from calibrate.tuning.model import TuningModel
from calibrate.tuning.outcome import Outcome
from calibrate.tuning.request import TuningRequest
from calibrate.tuning.run import tune_adapter
from calibrate.tuning.training import Recipe
from fbclip.artefacts.adapter import Adapter
from fbclip.backbone.weights import WeightsFile, open_backbone
from fbclip.images.framing import Framing
from fbclip.method.config import AttentionConfig, FBCLIPConfig
from fbclip.method.text import load_text_tower
from tests.golden.make_golden import HERE, backbone_config

METHOD = FBCLIPConfig(image_size=56, feature_layers=(1, 3), attention=AttentionConfig(heads=2, head_width=4))
LOADER = ImageLoader(Framing(), 56, 14)
REQUEST = TuningRequest(Recipe(epochs=3, learning_rate=2e-3, seed=4), synthetic=2)


def golden_weights() -> WeightsFile:
    return WeightsFile(backbone_config(), HERE / "backbone.safetensors")


def tuning_model(base: Adapter | None = None) -> TuningModel:
    weights = golden_weights()
    backbone, digest = open_backbone(weights, METHOD.image_size)
    return TuningModel(backbone, digest, load_text_tower(weights.all(), weights.config), METHOD, base)


def tuned(
    samples: list[Sample],
    work: Path,
    request: TuningRequest = REQUEST,
    base: Adapter | None = None,
    report: Report = lambda *_: None,
) -> Outcome:
    """A whole run of the tiny model."""
    return tune_adapter(tuning_model(base), samples, LOADER, request, work, report)


def write_labelled(root: Path) -> None:
    """8 normal images and 8 with a defect and its mask, 64 px."""
    for folder in ("good", "bad", "masks"):
        (root / folder).mkdir()
    for k in range(8):
        write_png(root / "good" / f"{k}.png", inbox_part(k, size=(64, 64)).image)
        scene = inbox_part(100 + k, "hole", size=(64, 64))
        write_png(root / "bad" / f"{k}.png", scene.image)
        write_png(root / "masks" / f"{k}.png", np.repeat(scene.mask[..., None], 3, 2).astype(np.uint8) * 255)


def labelled_samples(root: Path, masks: int = 8) -> list[Sample]:
    """As a reader gives them; only the first `masks` defects have one."""
    samples = []
    for s in read_data(root).samples:
        if s.path.parent.name == "masks":
            continue
        anomalous = s.path.parent.name == "bad"
        mask = root / "masks" / s.path.name if anomalous and int(s.path.stem) < masks else None
        samples.append(replace(s, label=anomalous, mask=mask, unit=f"{s.path.parent.name}/{s.path.stem}"))
    return samples


def unread_sample(unit: str, label: bool, name: str | None = None) -> Sample:
    """A sample without a file, for what only counts and splits."""
    return Sample(path=HERE / f"{name or unit}.png", unit=unit, sha256=name or unit, label=label)


def write_mvtec(root: Path, count: int, first: int = 0) -> None:
    """A class in MVTec's layout, 64 px: a test split of `count` normal images and `count` with a hole and its mask."""
    for k in range(count):
        for kind in (None, "hole"):
            scene = inbox_part(first + k + 100 * bool(kind), kind, size=(64, 64))
            path = root / "test" / (kind or "good") / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, scene.image)
            if kind:
                mask = root / "ground_truth" / kind / f"{k}_mask.png"
                mask.parent.mkdir(parents=True, exist_ok=True)
                write_png(mask, np.repeat(scene.mask[..., None], 3, 2).astype(np.uint8) * 255)
