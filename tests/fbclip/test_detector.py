"""Batches across adapters, and errors that are named."""

import numpy as np
import pytest
import torch

from fbclip.artefacts.adapter import save_adapter
from fbclip.detector import Detector, Job, open_detector
from fbclip.errors import AdapterError, ConfigError, WeightsError
from tests.factories.models import tiny_adapter


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


def test_missing_weights_say_what_to_do(tmp_path):
    with pytest.raises(AdapterError, match="calibrate import"):
        open_detector("ViT-L-14-336")
    save_adapter(tiny_adapter(2), tmp_path / "a")
    with pytest.raises(WeightsError, match="no such weights file"):
        open_detector("ViT-L-14-336", tmp_path / "none.safetensors", [tmp_path / "a"])
    with pytest.raises(ConfigError, match="unknown"):
        open_detector("resnet", None, [tmp_path / "a"])
