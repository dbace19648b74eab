"""A run's folder as the report reads it: bounded, its own images only, and errors of one line."""

import json
import shutil
from pathlib import Path

import pytest

from calibrate.errors import DataError, RefusedError
from calibrate.evaluation import document, evaluated_images
from calibrate.evaluation.evaluated_images import COLUMNS
from calibrate.report import reading
from calibrate.report.page import render
from calibrate.report.reading import read_run, with_profile
from fbclip.artefacts.profile_file import load_profile
from tests.factories.pages import Page
from tests.factories.runs import run_document, sample_rows, write_run

PROFILE = Path(__file__).parents[3] / "deploy" / "samples" / "profiles" / "inbox.yaml"


@pytest.fixture
def run_folder(tmp_path):
    rows = sample_rows()
    return write_run(tmp_path / "run", rows, run_document(rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "evaluation.json").unlink(), r"evaluation.json: no such file; `calibrate evaluate` makes it"),
        (lambda f: (f / "evaluation.json").write_text("{"), "evaluation.json: cannot be read"),
        (lambda f: (f / "evaluation.json").write_text("[" * 100_000), "evaluation.json: cannot be read"),
        (lambda f: (f / "evaluation.json").write_text('{"schema": "x/2"}'), "evaluation.json: schema: not calibrate"),
        (
            lambda f: (f / "evaluation.json").write_text(
                '{"schema": "calibrate.evaluation/1", "classes": {"a": {"image_ap": "x"}}}'
            ),
            "classes.a.image_ap",
        ),
        (lambda f: (f / "samples.csv").write_text("path,label\na,good\n"), "samples.csv: line 1: no column class"),
        (
            lambda f: (f / "samples.csv").write_text(",".join(COLUMNS) + "\na,b,good,,u,x,1,1,ok,0\n"),
            "samples.csv: line 2: could not convert",
        ),
        (
            lambda f: (f / "samples.csv").write_text(",".join(COLUMNS) + "\na,b,maybe,,u,1,1,1,ok,0\n"),
            "label 'maybe' is neither",
        ),
        (
            lambda f: (f / "samples.csv").write_text(",".join(COLUMNS) + "\na,b,good,,u,1,1,1,perhaps,0\n"),
            "samples.csv: line 2: 'perhaps' is not a valid Verdict",
        ),
        (lambda f: (f / "samples.csv").write_bytes(b"\xff\xfe"), "samples.csv: line"),
    ],
)
def test_what_cannot_be_read_is_one_line(run_folder, change, message):
    change(run_folder)
    with pytest.raises(DataError, match=message) as caught:
        read_run(run_folder)
    assert "\n" not in str(caught.value)


def test_sizes_are_bounded(run_folder, monkeypatch):
    monkeypatch.setattr(reading, "MAX_IMAGES", 2)
    monkeypatch.setattr(reading, "MAX_JPEG", 100)
    images = read_run(run_folder).worst
    assert [(p.about.path, p.jpeg) for p in images] == [("test/good/001.png", None), ("test/dent/004.png", None)]
    assert "The worst 2 of 6" in Page(render(read_run(run_folder))).text
    for module in (document, evaluated_images):
        with monkeypatch.context() as patch, pytest.raises(DataError, match=f"{module.FILE}: larger than 99 bytes"):
            patch.setattr(module, "MAX_BYTES", 99)
            read_run(run_folder)


def test_an_image_is_a_jpeg_of_this_run(tmp_path):
    rows = sample_rows()
    data = run_document(rows)
    folder = write_run(tmp_path / "run", rows, data)
    outside = tmp_path / "outside.jpg"
    shutil.copy(folder / data["worst"][0]["file"], outside)
    (folder / "worst" / "link.jpg").symlink_to(outside)
    (folder / "worst" / "text.jpg").write_text("<svg onload=alert(1)>")
    for i, name in enumerate(["../outside.jpg", str(outside), "worst/link.jpg", "worst/text.jpg", "gone.jpg"]):
        data["worst"][i]["file"] = name
    (folder / "evaluation.json").write_text(json.dumps(data))
    run = read_run(folder)
    assert [p.jpeg is None for p in run.worst] == [True] * 5 + [False]
    assert Page(render(run)).text.count("no image") == 5


def test_the_profile_must_be_the_one_that_judged(tmp_path):
    rows = sample_rows()
    data = run_document(rows)
    loaded = load_profile(PROFILE).profile
    del data["profile"]["map_limits"]
    other = read_run(write_run(tmp_path / "a", rows, data))
    with pytest.raises(RefusedError, match=f"{loaded.id[:12]} did not judge this run, 343434343434 did"):
        with_profile(other, PROFILE)
    data["profile"]["id"] = loaded.id
    own = read_run(write_run(tmp_path / "b", rows, data))
    assert "heat scale" not in Page(render(own)).text
    assert f"{loaded.map_limits[1]:.2f} margin" in Page(render(with_profile(own, PROFILE))).text
    unjudged = read_run(write_run(tmp_path / "c", rows, data | {"profile": None}))
    with pytest.raises(RefusedError, match="without a profile"):
        with_profile(unjudged, PROFILE)
