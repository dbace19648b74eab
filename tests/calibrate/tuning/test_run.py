"""One run from samples to an outcome: it repeats, and keeps the base when too little is known."""

import json
from dataclasses import replace

import pytest
import torch

from calibrate.errors import TrainingError
from calibrate.tuning.training import Recipe
from tests.factories.tuning import REQUEST, labelled_samples, tuned


def test_tuning_repeats_whatever_the_cache(labelled, tmp_path):
    samples = labelled_samples(labelled, masks=5)
    first = tuned(samples, tmp_path / "a")
    assert first.split.mode == "masks"
    for k, megabytes in enumerate((0, 2048)):
        other = tuned(samples, tmp_path / f"b{k}", replace(REQUEST, cache_mb=megabytes))
        assert other.tuned.id == first.tuned.id
    assert tuned(samples, tmp_path / "c", replace(REQUEST, recipe=Recipe(3, 2e-3, seed=5))).tuned.id != first.tuned.id
    provenance = first.tuned.manifest.provenance
    assert provenance["pictures"] == sorted(s.sha256 for s in samples)
    assert provenance["result"]["decision"] == "no base"
    json.dumps(provenance, allow_nan=False)


def test_a_model_that_diverges_ends_with_a_message(labelled, tmp_path):
    with pytest.raises(TrainingError, match="not finite"):
        tuned(labelled_samples(labelled), tmp_path, replace(REQUEST, recipe=Recipe(9, 1e30)))


def test_a_base_is_started_from_and_kept_when_too_little_is_known(labelled, tmp_path):
    samples = labelled_samples(labelled)
    base = tuned(samples, tmp_path / "a").tuned
    before = {k: v.clone() for k, v in base.tensors.items()}
    outcome = tuned(samples, tmp_path / "b", base=base)
    assert all(torch.equal(v, base.tensors[k]) for k, v in before.items())
    assert outcome.comparison.decision == "undecided, base kept"
    assert outcome.adapter.id == base.id != outcome.tuned.id
    normal = [s for s in samples if not s.label]
    further = tuned(normal, tmp_path / "d", base=base).tuned
    assert further.manifest.provenance["pictures"] == sorted(s.sha256 for s in samples)
    forced = tuned(samples, tmp_path / "c", replace(REQUEST, keep=True), base)
    assert forced.adapter.id == forced.tuned.id == outcome.tuned.id
    assert forced.tuned.manifest.provenance["result"]["forced"]
    assert forced.tuned.manifest.provenance["base"] == base.id
