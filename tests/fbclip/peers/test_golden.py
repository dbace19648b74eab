"""Golden cases of the compared methods: our own, and the released code's numbers where those are at hand."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from fbclip.cli import app
from fbclip.errors import AdapterError, FbclipError, WeightsError
from fbclip.peers.config import NAMES
from fbclip.verification.golden import verify

OWN = Path(__file__).parents[2] / "golden" / "peers"
AUTHORS = Path(__file__).parents[4] / "shared" / "golden" / "peers"

needs_authors = pytest.mark.skipif(not AUTHORS.is_dir(), reason="the released code's numbers are not at hand")


@pytest.mark.parametrize("name", NAMES)
def test_plain_formulas_agree(name):
    rows = verify(OWN / name)
    assert len(rows) >= 11
    assert [(r.name, r.largest) for r in rows if not r.ok] == []


@needs_authors
@pytest.mark.parametrize("name", NAMES)
def test_released_numbers_agree(name):
    rows = verify(AUTHORS / name)
    assert len(rows) >= 12
    assert [(r.name, r.largest) for r in rows if not r.ok] == []


@pytest.fixture
def case(tmp_path):
    """A copy of one case, beside its backbone."""

    def copied(name, change=lambda raw: None):
        shutil.copy(OWN / "backbone.safetensors", tmp_path)
        shutil.copytree(OWN / name, tmp_path / name)
        path = tmp_path / name / "case.json"
        raw = json.loads(path.read_text())
        change(raw)
        path.write_text(json.dumps(raw))
        return tmp_path / name

    return copied


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("anomalyclip", {"dual_blocks": 2}),
        ("afclip", {"aggregation_sigma": 3.0}),
        ("clipad", {"class_name": "nut"}),
        ("winclip", {"quick_gelu": True}),
        ("faprompt", {"smoothing_sigma": 9}),
        ("vanilla", {"vision_heads": 4}),
    ],
)
def test_another_method_or_model_does_not_agree(case, name, change):
    folder = case(name, lambda raw: raw.update(change))
    answer = CliRunner().invoke(app, ["verify", str(folder), "--json"])
    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["ok"] is False


def test_the_deep_prompts_go_through_half_precision(case):
    """What float16 rounds away makes no difference: released weights were trained so."""
    folder = case("anomalyclip")
    stored = torch.load(folder / "checkpoint.pth", weights_only=True)
    deep = stored["prompt_learner"]["compound_prompts_text.0"]
    assert not torch.equal(deep, deep.half().float())
    stored["prompt_learner"]["compound_prompts_text.0"] = deep.half().float()
    torch.save(stored, folder / "checkpoint.pth")
    assert all(row.ok for row in verify(folder))


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (lambda raw: raw.update(method="padim"), FbclipError, "method padim is none of vanilla"),
        (lambda raw: raw.pop("image_size"), FbclipError, "image_size is missing"),
        (lambda raw: raw.update(neighbourhoods=[2]), FbclipError, "must be odd"),
        (lambda raw: raw.update(vision_heads=3), FbclipError, "is not a multiple of heads"),
        (lambda raw: raw.update(backbone="none.safetensors"), WeightsError, "no such file"),
        (lambda raw: raw.update(embed_dim=13), WeightsError, "proj"),
        (lambda raw: raw.update(adapter_head_width=7), AdapterError, "no multiple of 7"),
    ],
)
def test_a_case_that_cannot_be_run_is_one_line(case, change, kind, says):
    with pytest.raises(kind, match=says):
        verify(case("afclip", change))


def test_a_case_of_tensors_that_are_not_ours_is_refused(case):
    folder = case("vanilla")
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "case.safetensors")
    save_file(tensors | {"layer9.secret": torch.zeros(1)}, folder / "case.safetensors")
    with pytest.raises(FbclipError, match=r"does not compute: \['layer9\.secret'\]"):
        verify(folder)
