"""The installation's self-test: it passes here, and a fault anywhere makes it fail."""

import filecmp
import json
import shutil
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from typer.testing import CliRunner

from fbclip.cli import app
from fbclip.verification import self_test as module
from fbclip.verification.self_test import CASE, self_test

GOLDEN = Path(__file__).parents[2] / "golden" / "tiny4"


def test_the_packages_case_is_the_golden_one():
    names = [path.name for path in CASE.iterdir()]
    assert sorted(names) == ["backbone.safetensors", "case.json", "case.safetensors", "checkpoint.pth"]
    assert filecmp.cmpfiles(CASE, GOLDEN, names, shallow=False) == (names, [], [])


def test_the_command_tests_every_precision_of_the_cpu():
    answer = CliRunner().invoke(app, ["verify", "--device", "cpu", "--json"])
    assert answer.exit_code == 0, answer.output
    runs = json.loads(answer.stdout)["runs"]
    assert [(run["device"], run["precision"]) for run in runs] == [
        ("cpu", "float32"), ("cpu", "bfloat16"), ("cpu", "float16"),
    ]  # fmt: skip
    assert [run["tensors"] for run in runs] == [25, 14, 14]
    assert all(0 < run["worst"]["largest"] < run["worst"]["tolerance"] for run in runs)
    assert "computes what it should" in CliRunner().invoke(app, ["verify", "--device", "cpu"]).stdout


def test_a_kernel_that_is_wrong_fails_in_every_precision(monkeypatch):
    true = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **k: true(*a, **k) * 1.25)
    assert [run.ok for run in self_test(["cpu"])] == [False, False, False]
    answer = CliRunner().invoke(app, ["verify", "--device", "cpu"])
    assert answer.exit_code == 1
    assert "3 of 3 DO NOT AGREE" in answer.stdout


def test_a_device_that_cannot_is_a_fault_of_its_own(monkeypatch):
    def broken(*_):
        raise RuntimeError("no kernel image is available\nmore")

    monkeypatch.setattr(module, "verify_forward", broken)
    first, *rest = self_test(["cpu"])
    assert (first.ok, first.fault) == (False, "no kernel image is available")
    assert all(run.ok for run in rest)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_every_gpu_agrees():
    assert all(run.ok for run in self_test(module.devices()))


def test_a_changed_number_in_the_weights_is_found(tmp_path):
    folder = tmp_path / "case"
    shutil.copytree(CASE, folder)
    stored = torch.load(folder / "checkpoint.pth", weights_only=True)
    stored["model_trainable_params"]["scale_weights"][0] += 0.5
    torch.save(stored, folder / "checkpoint.pth")
    assert not self_test(["cpu"], folder)[0].ok
