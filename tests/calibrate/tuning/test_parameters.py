"""Where head and prompts start, and how they become an adapter."""

import pytest
import torch

from calibrate.tuning.parameters import import_adapter, start_from
from fbclip.errors import AdapterError, ConfigError
from fbclip.method.config import AttentionConfig, FBCLIPConfig
from fbclip.verification.deviation import read_safetensors
from tests.factories.models import tiny_adapter
from tests.factories.tuning import METHOD, golden_weights, labelled_samples, tuned
from tests.golden.make_golden import HERE


def test_a_start_that_does_not_fit_is_refused(labelled, tmp_path):
    base = tuned(labelled_samples(labelled), tmp_path).tuned
    wider = METHOD.model_copy(update={"attention": AttentionConfig(heads=4, head_width=4)})
    with pytest.raises(ConfigError, match="--from-scratch"):
        start_from(base, wider)
    with pytest.raises(AdapterError, match="no prompts"):
        start_from(tiny_adapter(1), tiny_adapter(1).manifest.method)


def test_an_imported_checkpoint_is_an_adapter_with_its_prototypes(monkeypatch):
    method = FBCLIPConfig(image_size=56, feature_layers=(1, 2, 3))
    monkeypatch.setattr("calibrate.tuning.parameters.method_for", lambda _: method)
    adapter = import_adapter(HERE / "checkpoint.pth", golden_weights())
    expected = read_safetensors(HERE / "case.safetensors")["text.prototypes"]
    assert torch.allclose(adapter.prototypes, expected, atol=1e-6)
    assert adapter.manifest.provenance["imported_from_sha256"]
