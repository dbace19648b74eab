"""Lower precision beside float32 on real files, and the parts that stay float32 whatever it is."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from calibrate.cli import app
from calibrate.embedded.samples.files import write_calibration
from fbclip.artefacts.compatibility import RunningModel
from fbclip.detector import Detector, Job, open_detector
from fbclip.engines.torch_engine import TorchEngine
from fbclip.errors import ConfigError
from tests.factories.models import tiny_adapter, tiny_backbone


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_effect_is_measured_and_small(tmp_path, precision):
    write_calibration(tmp_path, "inbox", 4)
    answer = CliRunner().invoke(app, ["precision", str(tmp_path), "--precision", precision, "--json"])
    assert answer.exit_code == 0, answer.output
    effect = json.loads(answer.stdout)
    assert effect["precision"] == precision
    assert effect["pictures"] == 4
    assert effect["mask_tokens"] == 4 * 3 * 16 * 16  # images, layers, patches
    assert 0 < effect["margin_max"] < 0.1
    assert 0 < effect["map_max"] < 0.5
    # Normal images only: there is nothing to tell apart.
    assert effect["auroc"] is None


def test_float32_beside_itself_differs_by_nothing(tmp_path):
    write_calibration(tmp_path, "inbox", 2)
    answer = CliRunner().invoke(app, ["precision", str(tmp_path), "--precision", "float32", "--json"])
    effect = json.loads(answer.stdout)
    assert (effect["mask_flips"], effect["margin_max"], effect["map_max"]) == (0, 0, 0)


def test_another_backbone_needs_its_adapter(tmp_path):
    answer = CliRunner().invoke(app, ["precision", str(tmp_path), "--backbone", "ViT-L-14-336"])
    assert isinstance(answer.exception, ConfigError)


def test_a_profile_of_another_precision_does_not_fit():
    detector = open_detector("embedded", precision="bfloat16")
    running = detector.running(detector.adapters[0])
    assert isinstance(running, RunningModel)
    assert running.precision == "bfloat16"


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_rows_stay_independent_and_embedding_residual_and_gate_stay_float32(precision):
    backbone, digest = tiny_backbone()
    adapters = [tiny_adapter(2), tiny_adapter(3)]
    detector = Detector(TorchEngine(backbone, digest, adapters, torch.device("cpu"), precision))
    tokens = backbone(torch.randn(1, 3, 32, 32), [1, 3])
    assert all(t.dtype == torch.float32 for t in tokens)
    assert backbone.visual.conv1.weight.dtype == torch.float32
    torch.manual_seed(0)
    jobs = [Job(torch.randn(1, 3, 32, 32), detector.adapters[i % 2], 1.0) for i in range(5)]
    together = detector.infer(jobs)
    limit = 0.05 if precision == "bfloat16" else 0.01
    for job, prediction in zip(jobs, together, strict=True):
        (alone,) = detector.infer([job])
        assert prediction.map.dtype == np.float32
        assert abs(alone.margin - prediction.margin) <= limit * max(1, abs(alone.margin))


def test_the_model_is_that_of_agent_yaml(tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("model: {backbone: ViT-L-14-336}\nlines: [{name: belt}]\n")
    given = ["precision", str(tmp_path), "--config", str(config), "--line"]
    answer = CliRunner().invoke(app, [*given, "belt"])
    assert "backbone ViT-L-14-336 needs --adapter" in str(answer.exception)
    assert "weld" in str(CliRunner().invoke(app, [*given, "weld"]).exception)
