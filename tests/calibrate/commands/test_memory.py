"""`calibrate memory` on files with the embedded model."""

import json
import shutil

import pytest
import typer
from typer.testing import CliRunner

from calibrate.commands.memory import memory
from calibrate.datasets.leakage import seen_by
from calibrate.datasets.reader import read_data
from calibrate.embedded.samples.files import write_calibration
from calibrate.errors import DataError, RefusedError
from fbclip.errors import ConfigError
from fbclip.features.catalog import IMAGENET
from fbclip.memory.bank import load_memory


@pytest.fixture(scope="module")
def normal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    write_calibration(folder, "inbox", 12)
    return folder


BLOCKS = ("--features", "backbone", "--neighbourhood", "1,3,5,7,9,11")


def run(*arguments):
    app = typer.Typer()
    app.command()(memory)
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


def test_memory_is_small_the_same_again_and_knows_its_images(normal, tmp_path):
    out = tmp_path / "m"
    answer = run(normal, "--out", out, "--units", "50%", "--tokens", 300, "--json")
    assert answer.exit_code == 0, answer.output
    made, values = load_memory(out), json.loads(answer.stdout)
    assert values["id"] == made.id
    assert values["units_left"] == 6
    assert tuple(made.tokens.shape) == (300, 168)
    provenance = made.manifest.provenance
    assert provenance["units"] == len(provenance["pictures"]) + len(provenance["outliers"]) == 6
    assert seen_by(made) <= {s.sha256 for s in read_data(normal).samples}
    again = tmp_path / "again"
    run(normal, "--out", again, "--units", 6, "--tokens", 300)
    assert load_memory(again).id == made.id


@pytest.mark.parametrize(
    "options", [[], ["--features", "backbone", "--layers", "2,4", "--neighbourhood", "3", "--nearest", "joint"]]
)
def test_adding_takes_its_configuration_from_what_is_added_to(normal, tmp_path, options):
    assert run(normal, "--out", tmp_path / "m", "--units", "6", *options).exit_code == 0
    answer = run(normal, "--out", tmp_path / "n", "--add", tmp_path / "m")
    assert answer.exit_code == 0, answer.output
    assert load_memory(tmp_path / "n").manifest.config == load_memory(tmp_path / "m").manifest.config
    assert "12 normal images" in answer.stdout


def test_a_memory_of_imagenet_features_is_added_to_with_its_own(normal, tmp_path):
    out, more = tmp_path / "m", tmp_path / "n"
    answer = run(normal, "--out", out, "--units", "6", "--tokens", 200, "--features", "imagenet")
    assert answer.exit_code == 0, answer.output
    made = load_memory(out).manifest
    assert (made.backbone, made.backbone_sha256) == (IMAGENET.architecture, IMAGENET.sha256)
    assert (made.config.features, made.config.layers) == ("imagenet", (8, 16))
    assert run(normal, "--out", more, "--add", out).exit_code == 0
    assert load_memory(more).manifest.config == made.config
    for options in (["--add", out, "--features", "backbone"], ["--features", "imagenet", "--layers", "6"]):
        answer = run(normal, "--out", tmp_path / "none", *options)
        assert isinstance(answer.exception, ConfigError), answer.output
        assert not (tmp_path / "none").exists()


def test_broken_images_and_wrong_options_are_named(normal, tmp_path):
    folder = tmp_path / "d"
    shutil.copytree(normal / "good", folder)
    (folder / "broken.png").write_bytes(b"no image")
    out = tmp_path / "m"
    answer = run(folder, "--out", out)
    assert isinstance(answer.exception, DataError)
    assert "broken.png (not_an_image" in str(answer.exception)
    assert not out.exists()
    answer = run(folder, "--out", out, "--skip-bad", "--tokens", 64)
    assert answer.exit_code == 0
    assert "left out: broken.png" in answer.stderr
    for options, error, says in (
        (["--units", "0%"], ConfigError, "--units '0%'"),
        (["--units", "40"], RefusedError, "there are 13 normal units"),
        (["--tokens", 200_000], ConfigError, "--tokens"),
        (["--layers", "2,x"], ConfigError, "--layers '2,x'"),
        (["--layers", "2"], ConfigError, "blocks take --features backbone"),
        (["--features", "backbone", "--layers", "9"], ConfigError, "asks for layer 9, embedded has 1 to 4"),
        (["--neighbourhood", "2"], ConfigError, "must be odd"),
        (["--neighbourhood", "1;5"], ConfigError, "--neighbourhood '1;5'"),
        (["--metric", "manhattan"], ConfigError, "--metric"),
        ([*BLOCKS, "--metric", "mahalanobis"], ConfigError, "takes nearest joint"),
        ([*BLOCKS, "--metric", "mahalanobis", "--nearest", "joint"], ConfigError, "4608 numbers, at most 4096"),
        (["--reach", "1", "--tokens", "64", "--skip-bad"], ConfigError, "--reach"),
    ):
        answer = run(folder, "--out", tmp_path / "x", *options)
        assert isinstance(answer.exception, error), options
        assert says in str(answer.exception)
    (tmp_path / "none").mkdir()
    assert isinstance(run(tmp_path / "none", "--out", out).exception, DataError)
