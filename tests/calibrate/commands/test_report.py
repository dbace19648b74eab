"""`calibrate report`: the command, on made-up run folders and on one that is really written."""

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from calibrate.cli import app
from calibrate.embedded.samples.products import inbox_part
from tests.factories.few_shot import few_shot, few_shot_curve
from tests.factories.pages import Page, browse, needs_chromium
from tests.factories.runs import run_document, sample_rows, write_run

PROFILE = Path(__file__).parents[3] / "deploy" / "samples" / "profiles" / "inbox.yaml"
MEMORY = PROFILE.parents[1] / "memories" / "inbox"


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def run_folder(tmp_path):
    rows = sample_rows()
    return write_run(tmp_path / "run", rows, run_document(rows))


def test_the_command_writes_one_whole_page(run_folder, tmp_path):
    before = set(run_folder.iterdir())
    answer = call("report", run_folder)
    assert answer.exit_code == 0, answer.output
    assert set(run_folder.iterdir()) - before == {run_folder / "report.html"}
    text = (run_folder / "report.html").read_text(encoding="utf-8")
    assert call("report", run_folder, "--out", tmp_path / "new" / "page.html").exit_code == 0
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8") == text
    assert len(text) < 1_000_000

    page = Page(text)
    assert page.headings == {"scores", "verdicts", "curves", "metrics", "worst", "data", "repeat"}
    assert "With 95% confidence at most 1% of normal units alarm" in page.text
    assert "299 normal units, 0 above the threshold; 74 others set the scale. One unit is one file." in page.text
    assert "68 of 80 anomalous units; 95% interval 75.3% to 92%" in page.text
    assert (
        "ab" * 32 not in text
        and "cd" * 32 in text
        and "calibrate evaluate &#39;data/tiles 47&#39; --profile tiles.yaml" in text
    )
    assert len(page.all("img")) == 6 and all(a["src"].startswith("data:image/jpeg;base64,") for a in page.all("img"))


def test_a_run_as_it_is_really_written(tmp_path):
    for kind, number in ((None, 6), ("stain", 3), ("crack", 2)):
        folder = tmp_path / "coupons" / "test" / (kind or "good")
        folder.mkdir(parents=True)
        for seed in range(number):
            Image.fromarray(inbox_part(900 + seed, kind).image).save(folder / f"{seed}.png")
    run = tmp_path / "run"
    done = call(
        "evaluate",
        tmp_path / "coupons",
        "--out",
        run,
        "--profile",
        PROFILE,
        "--memory",
        MEMORY,
        "--device",
        "cpu",
    )
    assert done.exit_code == 0, done.output
    assert call("report", run, "--profile", PROFILE).exit_code == 0
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    assert {"scores", "verdicts", "curves", "metrics", "data", "repeat"} <= page.headings
    assert "at most 1% of normal units alarm" in page.text
    assert "6 normal and 5 anomalous images of 11 units" in page.text
    assert "of 5 anomalous units" in page.text and "stain" in page.text
    assert str(tmp_path) not in page.text


def test_curves_are_drawn_and_tabled_with_the_same_numbers(run_folder, tmp_path):
    path = tmp_path / "curves.json"
    path.write_text(few_shot(few_shot_curve("tile")).text())
    assert call("report", run_folder, "--few-shot", path).exit_code == 0
    page = Page((run_folder / "report.html").read_text(encoding="utf-8"))
    assert "memory" in page.headings
    assert "tile: 30 normal and 22 anomalous test images" in page.text
    assert "35 (all) 0.550 0.500 to 0.590 0.650" in page.text
    assert "auto took" in page.text and "fused 4, memory 1" in page.text
    assert "Not of the model of this run" not in page.text
    assert not page.all("details")
    assert all("scope" in a for a in page.all("th"))
    labels = [a["aria-label"] for a in page.all("svg") if "AUROC of" in a.get("aria-label", "")]
    assert labels == [
        f"tile: AUROC of {what} over normal images; with 1 to 35 (all): "
        "zero-shot from 0.450 to 0.550, memory from 0.550 to 0.650, fused from 0.650 to 0.750"
        for what in ("images", "pixels")
    ]


def test_what_cannot_be_read_leaves_no_page(run_folder, tmp_path):
    curves = tmp_path / "curves.json"
    curves.write_text("{")
    assert call("report", run_folder, "--few-shot", curves).exit_code == 1
    (run_folder / "evaluation.json").write_text("{")
    assert call("report", run_folder).exit_code == 1
    assert not (run_folder / "report.html").exists()


@needs_chromium
def test_a_browser_finds_nothing_to_complain_about(run_folder):
    call("report", run_folder)
    found = browse(run_folder, run_folder / "report.html")
    assert "With 95" in found.stdout
    assert "CONSOLE" not in found.stderr, found.stderr
