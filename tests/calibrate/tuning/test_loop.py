"""Epochs: early stopping, interruption, and the state that a run goes on from."""

from dataclasses import replace

import pytest
import torch

from calibrate.errors import TrainingError
from calibrate.tuning.fbclip_learner import FbClipLearner
from calibrate.tuning.features import Features
from calibrate.tuning.loop import EpochLosses, train
from calibrate.tuning.split import make_split
from calibrate.tuning.token_cache import TokenCache
from calibrate.tuning.training import Recipe, TuningTrainer
from fbclip.errors import ConfigError
from tests.factories.tuning import LOADER, METHOD, REQUEST, labelled_samples, tuned, tuning_model


def test_no_cache_at_all_gives_the_same(labelled, tmp_path):
    m = tuning_model()
    split = make_split(labelled_samples(labelled), 2, 0)
    ids = []
    for name, cached in (("a", True), ("b", False)):
        torch.manual_seed(REQUEST.recipe.seed)
        learner = FbClipLearner(m.backbone, m.tower, METHOD)
        features = [
            Features(
                items,
                LOADER,
                learner,
                TokenCache(len(items), (2, 17, 16), 1 << 20, tmp_path) if cached else None,
            )
            for items in (split.train, split.validation)
        ]
        trainer = TuningTrainer(learner, REQUEST.recipe)
        found = train(trainer, *features, REQUEST, tmp_path / name, "key", lambda *_: None)
        ids.append(found.tuned.adapter(m.backbone_sha256, m.backbone.config, {}).id)
    assert ids[0] == ids[1]


@pytest.mark.parametrize("augment", [False, True])
def test_an_interrupted_run_goes_on_to_the_same_result(labelled, tmp_path, augment):
    samples = [s for s in labelled_samples(labelled) if not s.label]
    request = replace(REQUEST, augment=augment)
    whole = tuned(samples, tmp_path / "whole", request)
    assert whole.split.mode == "good only"

    def interrupt(what, done, _total):
        if what.startswith("epoch 3") and done == 1:
            raise KeyboardInterrupt

    work = tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        tuned(samples, work, request, report=interrupt)
    assert [p.name for p in work.iterdir()] == ["state.safetensors"]
    reported = []
    again = tuned(samples, work, request, report=lambda what, *_: reported.append(what))
    assert "epoch 3 of 3" in reported and "epoch 2 of 3" not in reported
    assert again.tuned.id == whole.tuned.id
    assert again.trained.epochs == whole.trained.epochs


def test_another_run_in_the_work_folder_is_refused(labelled, tmp_path):
    samples = labelled_samples(labelled)
    tuned(samples, tmp_path)
    with pytest.raises(ConfigError, match="--restart"):
        tuned(samples, tmp_path, replace(REQUEST, batch=2))
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:500])
    with pytest.raises(TrainingError, match="--restart"):
        tuned(samples, tmp_path)


def test_the_loop_stops_early_and_keeps_the_best_epoch(labelled, tmp_path, monkeypatch):
    stops = iter([0.5, 0.3, 0.4, 0.6, 0.1])
    monkeypatch.setattr("calibrate.tuning.loop._validate", lambda *_: next(stops))
    many = replace(REQUEST, recipe=Recipe(9, 2e-3, seed=4), patience=2)
    found = tuned(labelled_samples(labelled), tmp_path / "a", many)
    assert [e.stop for e in found.trained.epochs] == [0.5, 0.3, 0.4, 0.6]
    assert found.trained.best == 1
    monkeypatch.undo()
    two = tuned(labelled_samples(labelled), tmp_path / "b", replace(many, recipe=Recipe(2, 2e-3, seed=4)))
    assert isinstance(two.trained.epochs[0], EpochLosses)
    if two.trained.best == 1:
        assert two.tuned.id == found.tuned.id
