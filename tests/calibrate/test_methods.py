"""The compared methods by command: evaluated, compared, as a threshold, over few normal images, and imported."""

import csv
import json

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from calibrate.cli import app
from calibrate.embedded.samples.files import write_png
from calibrate.embedded.samples.products import inbox_part
from calibrate.errors import DataError
from calibrate.few_shot import experiment
from fbclip.artefacts.adapter import load_adapter
from fbclip.artefacts.profile_file import load_profile
from fbclip.errors import ConfigError
from tests.factories.peers import NAME, anomaly_checkpoint, tiny_clip


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    root = tmp_path_factory.mktemp("line") / "sheet"
    for k in range(13):
        write_image(root, "train/good" if k < 10 else "test/good", k, None)
    for k in range(20, 23):
        write_image(root, "test/hole", k, "hole")
    return root


def write_image(root, folder, seed, defect):
    scene = inbox_part(seed, defect, size=(64, 64))
    (root / folder).mkdir(parents=True, exist_ok=True)
    write_png(root / folder / f"{seed}.png", scene.image)
    if defect is not None:
        (root / "ground_truth" / defect).mkdir(parents=True, exist_ok=True)
        mask = np.repeat(scene.mask[..., None], 3, 2).astype(np.uint8) * 255
        write_png(root / "ground_truth" / defect / f"{seed}_mask.png", mask)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    weights = tiny_clip(tmp_path_factory.mktemp("clip"))
    return ("--backbone", NAME, "--weights", str(weights.path), "--device", "cpu")


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_methods_are_rows_of_one_table(line, model, tmp_path):
    adapter = tmp_path / "adapter"
    answer = run("import", anomaly_checkpoint(tmp_path / "c.pth"), "--out", adapter, *model[:4])
    assert answer.exit_code == 0, answer.output
    assert "of method anomalyclip" in answer.stdout
    methods = ("--method", "winclip", "--method", "clipad", "--method", "anomalyclip")
    answer = run(
        "compare", *methods, "--adapter", adapter, "--data", line, "--into", tmp_path / "runs", *model,
        "--out", tmp_path / "table.md",
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    table = (tmp_path / "table.md").read_text()
    rows = [
        row for row in table.splitlines() if row.startswith(("| A: winclip |", "| B: clipad |", "| C: anomalyclip |"))
    ]
    assert len(rows) == 3
    assert all(row.count("|") == rows[0].count("|") for row in rows)
    assert " to " in rows[1]
    assert " to " not in rows[0]
    document = json.loads((tmp_path / "runs" / "winclip" / "evaluation.json").read_text())
    assert document["model"]["method"] == "winclip"
    assert f"| {document['mean']['image_auroc']:.4f} |" in rows[0]


def test_a_threshold_of_a_method_comes_with_its_adapter(line, model, tmp_path):
    out = tmp_path / "sheet.yaml"
    answer = run(
        "threshold", line, "--line", "sheet", "--out", out, *model, "--method", "winclip", "--product", "leather sheet",
        "--best-effort", "--false-alarm", 0.2, "--confidence", 0.8,
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    profile = load_profile(out).profile
    adapter = load_adapter(tmp_path / "sheet.adapter")
    assert (profile.method, profile.adapter, profile.smoothing) == ("winclip", adapter.id, 0.0)
    assert adapter.manifest.peer.class_name == "leather sheet"
    assert yaml.safe_load(out.read_text())["method"] == "winclip"
    answer = run(
        "evaluate",
        line,
        "--out",
        tmp_path / "run",
        "--profile",
        out,
        "--adapter",
        out.with_name("sheet.adapter"),
        *model,
    )
    assert answer.exit_code == 0, answer.output
    assert "method winclip" in answer.stdout
    assert "False alarms" in answer.stdout


def test_normal_images_make_a_few_shot_line(line, model, tmp_path):
    """Images that are remembered are never judged: neither for the threshold nor in an evaluation."""
    out, known = tmp_path / "few.yaml", tmp_path / "known"
    for k in range(2):
        write_image(known, ".", 100 + k, None)
    asked = (*model, "--method", "winclip", "--product", "sheet", "--references", known)
    answer = run("threshold", line, "--line", "sheet", "--out", out, *asked, "--best-effort", "--false-alarm", 0.3)
    assert answer.exit_code == 0, answer.output
    adapter = load_adapter(tmp_path / "few.adapter")
    assert load_profile(out).profile.adapter == adapter.id
    assert len(adapter.manifest.provenance["pictures"]) == 2
    answer = run("evaluate", line, "--out", tmp_path / "run", "--split", "train", *asked[:-1], line / "train" / "good")
    assert isinstance(answer.exception, DataError)
    assert "10 of 10 images are" in str(answer.exception)
    answer = run("evaluate", line, "--out", tmp_path / "run", *model, "--method", "clipad", "--references", known)
    assert "clipad has no few-shot form" in str(answer.exception)


def test_few_shot_has_the_methods_own_column(line, model, monkeypatch):
    monkeypatch.setattr(experiment, "PAINTED_EACH", 1)
    monkeypatch.setattr(experiment, "RESAMPLES", 20)
    answer = run("few-shot", line, "--seeds", 1, *model, "--method", "winclip", "--features", "backbone", "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert found["method"] == "winclip"
    step = found["curves"][0]["steps"][0]
    assert step["image"]["own"]["mean"] != step["image"]["zero-shot"]["mean"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--method", "padim"), "must be one of fb-clip, vanilla"),
        (("--method", "anomalyclip"), "is learned; `calibrate tune` it"),
        (("--product", "sheet"), "only for a --method whose prompts name it"),
    ],
)
def test_what_cannot_judge_is_refused(line, model, tmp_path, more, says):
    answer = run("evaluate", line, "--out", tmp_path / "run", *model, *more)
    assert isinstance(answer.exception, ConfigError)
    assert says in str(answer.exception)


def test_the_embedded_model_knows_too_few_words(line, tmp_path):
    answer = run("evaluate", line, "--out", tmp_path / "run", "--method", "winclip", "--device", "cpu")
    assert "without some of the words of this method's prompts" in str(answer.exception)


def test_each_class_is_judged_by_its_own_words(model, tmp_path):
    """The heat maps too: every class has an adapter, and the worst images of both are drawn."""
    for name, first in (("nut", 0), ("screw", 100)):
        for k in range(first, first + 2):
            write_image(tmp_path / "set" / name, "test/good", k, None)
            write_image(tmp_path / "set" / name, "test/hole", 20 + k, "hole")
            write_image(tmp_path / "set" / name, "train/good", 40 + k, None)
    answer = run("evaluate", tmp_path / "set", "--out", tmp_path / "run", *model, "--method", "vanilla", "--json")
    assert answer.exit_code == 0, answer.output
    both = json.loads(answer.stdout)
    assert set(both["classes"]) == {"nut", "screw"}
    alone = run(
        "evaluate", tmp_path / "set", "--out", tmp_path / "one", *model, "--method", "vanilla", "--json",
        "--product", "nut",
    )  # fmt: skip
    margins = [rows(tmp_path / name / "samples.csv") for name in ("run", "one")]
    same = {image for image in margins[0] if margins[0][image] == pytest.approx(margins[1][image], rel=1e-4)}
    assert {image.split("/")[0] for image in same} == {"nut"}
    assert len(same) == 4
    assert json.loads(alone.stdout)["model"]["adapter"] != both["model"]["adapter"]


def rows(path):
    with path.open() as file:
        return {row["path"]: float(row["margin"]) for row in csv.DictReader(file)}
