"""`calibrate evaluate --memory`: an existing memory, a folder of normal images, and what goes with a profile."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from calibrate.cli import app
from calibrate.embedded.samples.files import write_png
from calibrate.embedded.samples.products import inbox_part
from calibrate.errors import DataError
from fbclip.errors import ConfigError

SAMPLES = Path(__file__).parents[3] / "deploy" / "samples"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("set")
    for part, seeds in (("train/good", range(18)), ("test/good", range(50, 54)), ("test/stain", range(60, 64))):
        (root / part).mkdir(parents=True)
        defect = "stain" if part.endswith("stain") else None
        for seed in seeds:
            write_png(root / part / f"{seed}.png", inbox_part(700_000 + seed, defect).image)
    return root


def evaluate(data, out, *more):
    answer = CliRunner().invoke(app, ["evaluate", str(data), "--out", str(out), *map(str, more), "--json"])
    return json.loads(answer.stdout) if answer.exit_code == 0 else answer


def test_a_folder_of_normal_images_becomes_the_memory_of_the_run(data, tmp_path):
    found = evaluate(data, tmp_path / "run", "--memory", "train/good")
    assert found["model"]["fusion"]["use"] == "fused"
    assert found["mean"]["image_auroc"] == 1.0
    # Too few to hold some back: the distances alone.
    (tmp_path / "few").mkdir()
    for seed in range(3):
        write_png(tmp_path / "few" / f"{seed}.png", inbox_part(800_000 + seed).image)
    found = evaluate(data, tmp_path / "few-run", "--memory", tmp_path / "few")
    assert found["model"]["fusion"]["use"] == "memory"
    assert found["mean"]["image_auroc"] == 1.0


def test_what_was_remembered_is_not_evaluated(data, tmp_path):
    answer = evaluate(data, tmp_path / "run", "--memory", data / "train" / "good", "--split", "all")
    assert isinstance(answer.exception, DataError)
    assert "the data of this adapter or memory as well (18 of 26 images are)" in str(answer.exception)


def test_a_memory_goes_with_the_profile_that_names_it(data, tmp_path):
    profile, memory = SAMPLES / "profiles" / "inbox.yaml", SAMPLES / "memories" / "inbox"
    found = evaluate(data, tmp_path / "run", "--memory", memory, "--profile", profile)
    assert found["confusion"]["recall"]["count"] == 4
    assert found["model"]["memory"] == json.loads((memory / "memory.json").read_text())["id"]
    alone = evaluate(data, tmp_path / "alone", "--memory", memory)
    assert alone["model"]["fusion"]["use"] == "memory"

    for options, message in (
        (("--profile", profile), "memory: the profile was measured with"),
        (("--profile", profile, "--memory", data / "train" / "good"), "is no memory"),
        (("--memory", memory, "--paper"), "knows no memory"),
        (("--memory", memory, "--roi", "0,0,0.5,1"), "was made with"),
    ):
        answer = evaluate(data, tmp_path / "refused", *options)
        assert isinstance(answer.exception, ConfigError)
        assert message in str(answer.exception)
