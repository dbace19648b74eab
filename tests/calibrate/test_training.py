"""Golden optimiser steps of the authors, and that tuning and importing give usable adapters."""

from pathlib import Path

import pytest
import torch

from calibrate.errors import TrainingError
from calibrate.tuning.checkpoint_import import import_adapter
from calibrate.tuning.losses import dice, focal
from calibrate.tuning.training import Recipe, TuningBatch, tune
from calibrate.verification.training import verify_training
from fbclip.artefacts.adapter import load_adapter, save_adapter
from fbclip.backbone.weights import WeightsFile, open_backbone
from fbclip.method.config import AttentionConfig, FBCLIPConfig
from fbclip.method.text import load_text_tower
from fbclip.verification.golden import read_safetensors
from tests.golden.make_golden import HERE, backbone_config

AUTHORS = Path(__file__).parents[3] / "shared" / "golden" / "square8"
METHOD = FBCLIPConfig(image_size=56, feature_layers=(1, 3), attention=AttentionConfig(heads=2, head_width=4))


@pytest.mark.skipif(not AUTHORS.is_dir(), reason="the authors' golden numbers are not at hand")
def test_authors_training_steps_agree():
    rows = verify_training(AUTHORS)
    assert len(rows) == 68
    assert [(r.name, r.largest) for r in rows if not r.ok] == []


def test_losses_are_the_formulas():
    p, t = torch.tensor([0.9, 0.2]), torch.tensor([1.0, 1.0])
    by_hand = (-(torch.log(p)) * (1 - p) ** 4).mean()
    assert focal(p, t) == pytest.approx(by_hand.item())
    m = torch.tensor([[[1.0, 0.0]]])
    assert dice(m, m) == 0.0
    assert dice(1 - m, m).item() == pytest.approx(1 - 1 / 3)


def parts():
    weights = WeightsFile(backbone_config(), HERE / "backbone.safetensors")
    backbone, digest = open_backbone(weights, 56)
    return weights, backbone, digest, load_text_tower(weights.all(), weights.config)


def batches(epoch):
    generator = torch.Generator().manual_seed(epoch)
    images = torch.randn(4, 3, 56, 56, generator=generator)
    masks = torch.zeros(4, 56, 56)
    masks[:2, 10:30, 10:30] = 1
    images[:2, :, 10:30, 10:30] += 4
    yield TuningBatch(images, masks.flatten(1).amax(1), masks)


def test_tuning_learns_is_repeatable_and_survives_the_disk(tmp_path):
    _, backbone, digest, tower = parts()
    recipe = Recipe(epochs=30, learning_rate=3e-3, seed=5)
    runs = []
    for _ in range(2):
        losses: list[float] = []
        progress = lambda _e, _s, row, to=losses: to.append(row[0])  # noqa: E731
        tuned = tune(backbone, tower, METHOD, batches, recipe, progress)
        runs.append((tuned.adapter(digest, backbone_config(), {"seed": 5}), losses))
    (adapter, losses), (again, _) = runs
    assert adapter.id == again.id
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    save_adapter(adapter, tmp_path / "a")
    assert load_adapter(tmp_path / "a").id == adapter.id
    adapter.head()


def test_a_model_that_is_not_finite_ends_the_run():
    _, backbone, _, tower = parts()

    def poisoned(epoch):
        for batch in batches(epoch):
            yield TuningBatch(batch.images * float("nan"), batch.labels, None)

    with pytest.raises(TrainingError, match="not finite"):
        tune(backbone, tower, METHOD, poisoned, Recipe(epochs=1), lambda *_: None)


def test_an_imported_checkpoint_is_an_adapter_with_its_prototypes(monkeypatch):
    weights, *_ = parts()
    method = FBCLIPConfig(image_size=56, feature_layers=(1, 2, 3))
    monkeypatch.setattr("calibrate.tuning.checkpoint_import.method_for", lambda _: method)
    adapter = import_adapter(HERE / "checkpoint.pth", weights)
    expected = read_safetensors(HERE / "case.safetensors")["text.prototypes"]
    assert torch.allclose(adapter.prototypes, expected, atol=1e-6)
    assert adapter.manifest.provenance["imported_from_sha256"]
