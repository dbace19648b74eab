"""`calibrate evaluate` with the embedded model."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from calibrate.cli import app
from calibrate.datasets import read_data
from calibrate.embedded.samples.products import SAMPLE_DEFECTS, inbox_part
from calibrate.errors import DataError
from calibrate.evaluation.numbers import METRICS
from fbclip.artefacts.adapter import load_adapter, save_adapter
from fbclip.backbone.weights import EMBEDDED_DIR
from fbclip.errors import ConfigError
from tests.factories.evaluations import save_image


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts") / "coupon"
    for k in range(4):
        scene = inbox_part(300_000 + k, SAMPLE_DEFECTS[k])
        save_image(root / "test/bad" / f"{k}.png", scene.image)
        save_image(root / "ground_truth/bad" / f"{k}_mask.png", scene.mask.astype(np.uint8) * 255)
        save_image(root / "test/good" / f"{k}.png", inbox_part(400_000 + k).image)
    return root


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *(str(a) for a in arguments)])


def test_the_command_prints_classes_and_mean(parts, tmp_path):
    out = tmp_path / "run"
    answer = run(parts, "--out", out, "--json", "--worst", 1)
    assert answer.exit_code == 0, answer.output
    printed = json.loads(answer.stdout)
    assert printed == json.loads((out / "evaluation.json").read_text())
    assert set(printed["mean"]) == set(printed["classes"]["coupon"]) == set(METRICS)
    assert printed["mean"]["image_auroc"] > 0.7
    assert printed["mean"]["pixel_auroc"] > 0.8
    assert printed["definition"] == "exact"
    paper = json.loads(run(parts, "--out", out, "--json", "--paper").stdout)
    assert paper["definition"] == "paper"
    assert paper["mean"]["image_auroc"] == printed["mean"]["image_auroc"]
    assert paper["mean"]["pixel_aupro"] != printed["mean"]["pixel_aupro"]
    assert "| coupon |" in run(parts, "--out", out).stdout


def test_the_command_guards_against_seen_images_and_full_folders(parts, tmp_path):
    embedded = load_adapter(EMBEDDED_DIR / "adapter")
    digests = [s.sha256 for s in read_data(parts).samples[:2]]
    manifest = embedded.manifest.model_copy(update={"provenance": {"pictures": digests}})
    save_adapter(type(embedded)(manifest, embedded.tensors, embedded.prototypes), tmp_path / "adapter")
    answer = run(parts, "--out", tmp_path / "run", "--adapter", tmp_path / "adapter")
    assert isinstance(answer.exception, DataError)
    assert "the data of this adapter or memory as well (2 of 8 images are)" in str(answer.exception)
    assert not (tmp_path / "run").exists()
    answer = run(parts, "--out", parts / "run")
    assert isinstance(answer.exception, ConfigError)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    answer = run(parts, "--out", tmp_path / "full")
    assert "no earlier run" in str(answer.exception)
