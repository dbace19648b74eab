"""Lines go on with the embedded model that they were set up with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fbclip.artefacts.generation import embedded_model, weights_for
from fbclip.backbone.config import EMBEDDED, EMBEDDED_1
from fbclip.backbone.weights import EMBEDDED_MODELS, embedded_weights, open_backbone
from fbclip.detector import open_detector
from fbclip.errors import AdapterError
from fbclip.features.catalog import IMAGENET
from fbclip.memory.bank import Memory, MemoryManifest, save_memory
from fbclip.memory.features import MemoryConfig
from tests.factories.models import unit_rows

NEWEST, EARLIER = EMBEDDED_MODELS
KEPT = Path(__file__).parents[2] / "compatibility" / "kept"


def remember(folder: Path, sha256: str, config: MemoryConfig, width: int) -> Path:
    manifest = MemoryManifest(backbone="embedded", backbone_sha256=sha256, image_size=256, config=config)
    save_memory(Memory(manifest, unit_rows(8, width).half(), torch.zeros(8, 2, dtype=torch.uint8)), folder)
    return folder


@pytest.mark.parametrize("model", EMBEDDED_MODELS, ids=lambda model: model.folder.name)
def test_the_stated_digest_and_shape_are_those_of_the_file(model) -> None:
    backbone, digest = open_backbone(embedded_weights(model), 256)
    assert digest == model.sha256
    assert backbone.config == model.config


def test_the_newest_is_taken_where_nothing_names_an_earlier_one(tmp_path: Path) -> None:
    assert embedded_model() is NEWEST
    assert embedded_model(memories=[tmp_path / "none"], profiles=[tmp_path / "none.yaml"]) is NEWEST
    imagenet = remember(tmp_path / "m", IMAGENET.sha256, MemoryConfig(features="imagenet", layers=(8, 16)), 168)
    assert embedded_model(memories=[imagenet]) is NEWEST
    assert open_detector("embedded", device="cpu", memories=[imagenet]).backbone_config == EMBEDDED


def test_an_earlier_one_is_taken_by_its_memory_profile_or_adapter(tmp_path: Path) -> None:
    memory = remember(tmp_path / "m", EARLIER.sha256, MemoryConfig(layers=(4,)), EMBEDDED_1.width)
    for files in ({"memories": [memory]}, {"profiles": [KEPT / "profile.yaml"]}, {"adapters": [EARLIER.adapter]}):
        assert embedded_model(**files) is EARLIER
    detector = open_detector("embedded", device="cpu", memories=[memory])
    assert detector.backbone_config == EMBEDDED_1
    assert detector.backbone_sha256 == EARLIER.sha256
    assert weights_for("embedded", None, EARLIER.adapter).config == EMBEDDED_1
    assert weights_for("embedded", None, None).config == EMBEDDED


def test_where_both_are_named_the_newest_runs_and_the_other_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="tuned on other weights of embedded"):
        open_detector("embedded", device="cpu", adapters=[NEWEST.adapter, EARLIER.adapter])
