"""Golden numbers: our own compact case, and the authors' numbers where they are at hand."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from fbclip.cli import app
from fbclip.errors import AdapterError, FbclipError, WeightsError
from fbclip.verification.golden import verify

OWN = Path(__file__).parents[2] / "golden" / "tiny4"

AUTHORS = Path(__file__).parents[4] / "shared" / "golden"

needs_authors = pytest.mark.skipif(not AUTHORS.is_dir(), reason="the authors' golden numbers are not at hand")


def test_own_golden_case_agrees():
    rows = verify(OWN)
    assert len(rows) == 25
    assert [r.name for r in rows if not r.ok] == []


@needs_authors
@pytest.mark.parametrize("case", ["square8", "preprocess"])
def test_authors_numbers_agree(case):
    rows = verify(AUTHORS / case)
    assert rows
    assert [(r.name, r.largest) for r in rows if not r.ok] == []


def broken_copy(tmp_path: Path, change) -> Path:
    folder = tmp_path / "case"
    shutil.copytree(OWN, folder)
    stored = torch.load(folder / "checkpoint.pth", weights_only=True)
    change(stored)
    torch.save(stored, folder / "checkpoint.pth")
    return folder


def test_command_exits_1_beyond_tolerance(tmp_path):
    def change(stored):
        stored["model_trainable_params"]["scale_weights"][0] += 0.01

    result = CliRunner().invoke(app, ["verify", str(broken_copy(tmp_path, change)), "--json"])
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert answer["ok"] is False
    assert {t["name"] for t in answer["tensors"] if not t["ok"]} == {"score", "map_grid", "map_upsampled"}
    assert CliRunner().invoke(app, ["verify", str(OWN)]).exit_code == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("prompt_learner"), "prompt_learner"),
        (lambda s: s["model_trainable_params"].pop("fb_Attention.fg_scale"), "fb_Attention.fg_scale is missing"),
        (lambda s: s["model_trainable_params"].update({"token_selector.0.bias": torch.zeros(3)}), "selector.0.bias"),
        (lambda s: s["prompt_learner"]["ctx_pos"].fill_(float("nan")), "non-finite"),
        (lambda s: s["model_trainable_params"].update({"fb_Attention.extra": torch.zeros(1)}), "unexpected"),
    ],
)
def test_foreign_checkpoints_are_named_errors(tmp_path, change, says):
    with pytest.raises(AdapterError, match=says):
        verify(broken_copy(tmp_path, change))


def test_checkpoints_are_read_without_running_code(tmp_path):
    folder = tmp_path / "case"
    shutil.copytree(OWN, folder)

    class Payload:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save(Payload(), folder / "checkpoint.pth")
    with pytest.raises(AdapterError, match="not a readable checkpoint"):
        verify(folder)
    assert not (tmp_path / "ran").exists()


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(FbclipError, match="neither a forward case"):
        verify(tmp_path)
    folder = tmp_path / "case"
    shutil.copytree(OWN, folder)
    (folder / "backbone.safetensors").write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match=r"backbone\.safetensors"):
        verify(folder)
