"""Golden metrics cases: ours and the authors' agree, other values and other forms are found out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from calibrate.cli import app
from calibrate.errors import DataError
from calibrate.verification.metrics import verify_metrics
from fbclip.errors import FbclipError
from tests.golden.metrics4.make import HERE as OWN
from tests.golden.metrics4.make import main as make_golden

AUTHORS = Path(__file__).parents[4] / "shared" / "golden" / "metrics"


def calibrate_verify(folder):
    outcome = CliRunner().invoke(app, ["verify", str(folder), "--json"])
    return outcome.exit_code, outcome


def test_own_golden_case_agrees_and_is_what_the_loops_make(tmp_path, monkeypatch):
    code, outcome = calibrate_verify(OWN)
    assert code == 0
    rows = json.loads(outcome.output)["tensors"]
    assert [row["name"] for row in rows] == ["image_auroc", "image_ap", "pixel_auroc", "pixel_aupro"]
    assert max(row["largest"] for row in rows) < 1e-12
    monkeypatch.setattr("tests.golden.metrics4.make.HERE", tmp_path)
    make_golden()
    assert [r.ok for r in verify_metrics(tmp_path)] == [True] * 4


@pytest.mark.skipif(not AUTHORS.is_dir(), reason="the authors' golden numbers are not at hand")
def test_authors_metrics_agree():
    assert [r.name for r in verify_metrics(AUTHORS) if not r.ok] == []


@pytest.fixture
def copied(tmp_path):
    for name in ("case.safetensors", "expected.json"):
        shutil.copy(OWN / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["image_auroc", "image_ap", "pixel_auroc", "pixel_aupro"])
def test_another_value_is_found_out(copied, name):
    values = json.loads((copied / "expected.json").read_text())
    values[name] += 2e-6
    (copied / "expected.json").write_text(json.dumps(values))
    assert calibrate_verify(copied)[0] == 1
    assert [r.name for r in verify_metrics(copied) if not r.ok] == [name]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "cannot be read"),
        ("[]", "exactly"),
        ('{"image_auroc": 1}', "exactly"),
        ('{"image_auroc": 1, "image_ap": NaN, "pixel_auroc": 1, "pixel_aupro": 1}', "image_ap: nan is not"),
        ('{"image_auroc": true, "image_ap": 1, "pixel_auroc": 1, "pixel_aupro": 1}', "image_auroc: True is not"),
        (f'{{"image_auroc": 1, "image_ap": 1, "pixel_auroc": 1, "pixel_aupro": 1{"0" * 400}}}', "inf is not"),
    ],
)
def test_expected_values_of_another_form_are_refused(copied, text, match):
    (copied / "expected.json").write_text(text)
    with pytest.raises(FbclipError, match=match):
        verify_metrics(copied)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda t: t.pop("masks"), FbclipError, "holds no masks"),
        (lambda t: t.update(scores=t["scores"][:3]), FbclipError, "not both"),
        (lambda t: t.update(maps=t["maps"][:, :5]), FbclipError, "not both"),
        (lambda t: t.update(maps=t["maps"][:3], masks=t["masks"][:3]), FbclipError, "not both"),
        (lambda t: t.update(scores=np.arange(4)), FbclipError, "neither float32"),
        (lambda t: t.update(labels=np.array([0, 1, 2, 1])), DataError, "labels are not all 0 or 1"),
        (lambda t: t.update(masks=255 * t["masks"]), DataError, "masks are not all 0 or 1"),
        (lambda t: t.update(labels=np.ones(4)), DataError, "image_auroc is undefined"),
        (lambda t: t["maps"].put(7, np.nan), DataError, "maps are not finite"),
        (lambda t: t["scores"].put(1, np.inf), DataError, "scores are not finite"),
        (lambda t: t["maps"].fill(0.5), DataError, "pixel_aupro is undefined"),
    ],
)
def test_cases_of_another_form_are_refused(copied, change, error, match):
    tensors = {k: v.copy() for k, v in load_file(copied / "case.safetensors").items()}
    change(tensors)
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, copied / "case.safetensors")
    with pytest.raises(error, match=match):
        verify_metrics(copied)


def test_a_folder_that_is_no_case_says_what_is_expected(tmp_path):
    outcome = calibrate_verify(tmp_path)[1]
    assert isinstance(outcome.exception, FbclipError)
    assert "neither a training case" in str(outcome.exception)
    # With case.json it is a forward or training case, whatever else lies there.
    (tmp_path / "case.json").write_text("{}")
    assert "case.json" in str(calibrate_verify(tmp_path)[1].exception)
