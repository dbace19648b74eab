"""Batches across adapters, bindings, and errors that are named."""

import json

import numpy as np
import pytest
import torch

from fbclip.artefacts.adapter import Adapter, load_adapter, save_adapter
from fbclip.detector import Detector, Job, open_detector, pick_device
from fbclip.errors import AdapterError, ConfigError, WeightsError
from tests.conftest import tiny_adapter, tiny_backbone


def jobs(detector: Detector, count: int) -> list[Job]:
    torch.manual_seed(7)
    ids = list(detector.smoothing)
    return [Job(torch.randn(1, 3, 32, 32), ids[i % len(ids)], 1.0 + i % 2) for i in range(count)]


def test_mixed_batch_equals_one_by_one(detector):
    rows = jobs(detector, 7)
    together = detector.infer(rows)
    assert len(together) == 7
    for job, prediction in zip(rows, together, strict=True):
        (alone,) = detector.infer([job])
        assert abs(alone.margin - prediction.margin) <= 1e-5 * max(1, abs(alone.margin))
        assert np.abs(alone.map - prediction.map).max() <= 1e-5 * np.abs(alone.map).max()
        assert prediction.map.dtype == np.float32
        assert prediction.map.shape == (32, 32)
        assert prediction.score == pytest.approx(1 / (1 + np.exp(-prediction.margin)), abs=1e-6)


def test_adapters_differ_and_nothing_in_gives_nothing_out(detector):
    image = torch.randn(1, 3, 32, 32)
    one, two = (detector.infer([Job(image, a, 1.0)])[0].margin for a in detector.smoothing)
    assert one != two
    assert detector.infer([]) == []


def test_adapter_survives_the_disk_and_is_bound_to_its_contents(tmp_path):
    adapter = tiny_adapter(5)
    save_adapter(adapter, tmp_path / "a")
    loaded = load_adapter(tmp_path / "a")
    assert loaded.id == adapter.id
    text = (tmp_path / "a" / "adapter.json").read_text()
    (tmp_path / "a" / "adapter.json").write_text(text.replace('"temperature": 0.07', '"temperature": 0.08'))
    with pytest.raises(AdapterError, match="changed or damaged"):
        load_adapter(tmp_path / "a")


def test_a_field_that_a_later_version_adds_does_not_change_the_id(tmp_path):
    """As if `view` had not been known when the adapter was written."""
    adapter = tiny_adapter(5)
    dumped = adapter.manifest.model_dump(mode="json")
    bound = {name: dumped[name] for name in ("backbone", "backbone_sha256", "method")}
    del bound["method"]["view"]
    old = Adapter(adapter.manifest, adapter.tensors, adapter.prototypes, bound)
    save_adapter(old, tmp_path / "a")
    stored = json.loads((tmp_path / "a" / "adapter.json").read_text())
    del stored["method"]["view"]
    (tmp_path / "a" / "adapter.json").write_text(json.dumps(stored))
    loaded = load_adapter(tmp_path / "a")
    assert loaded.id == old.id
    assert loaded.manifest == adapter.manifest


def test_an_adapter_for_other_weights_is_refused():
    backbone, _ = tiny_backbone()
    with pytest.raises(AdapterError, match="other weights"):
        Detector(backbone, "0" * 64, [tiny_adapter(2)], torch.device("cpu"))


def test_an_adapter_with_a_nan_is_refused(tmp_path):
    normal = tiny_adapter(5)
    name = next(iter(normal.tensors))
    broken = {**normal.tensors, name: torch.full_like(normal.tensors[name], float("nan"))}
    anomalous = Adapter(normal.manifest, broken, normal.prototypes)
    with pytest.raises(AdapterError, match="non-finite"):
        anomalous.head()


@pytest.mark.parametrize("content", [None, b"{}", b"not json", b'{"schema": "fbclip.adapter/1"}'])
def test_a_folder_that_is_no_adapter_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "adapter.json").write_bytes(content)
    with pytest.raises(AdapterError, match=str(tmp_path)):
        load_adapter(tmp_path)


def test_missing_weights_say_what_to_do(tmp_path):
    with pytest.raises(AdapterError, match="calibrate import"):
        open_detector("ViT-L-14-336")
    save_adapter(tiny_adapter(2), tmp_path / "a")
    with pytest.raises(WeightsError, match="no such weights file"):
        open_detector("ViT-L-14-336", tmp_path / "none.safetensors", [tmp_path / "a"])
    with pytest.raises(ConfigError, match="unknown"):
        open_detector("resnet", None, [tmp_path / "a"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_a_configuration_error():
    assert pick_device("auto").type == "cpu"
    with pytest.raises(ConfigError, match="no such GPU"):
        pick_device("cuda")
