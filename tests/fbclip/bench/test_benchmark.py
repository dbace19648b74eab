"""The benchmark runs every stage and its parts add up; no assertion on seconds."""

import json

import pytest
from typer.testing import CliRunner

from fbclip.cli import app
from fbclip.errors import ConfigError


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        ([], [1]),
        (["--random-weights", "--batch", "2", "--size", "128"], [2]),
        (["--batch", "1", "--batch", "3", "--precision", "bfloat16"], [1, 3]),
    ],
)
def test_bench_gives_the_contract_fields(arguments, sizes):
    answer = CliRunner().invoke(app, ["bench", "--json", "--repeats", "1", "--device", "cpu", *arguments])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    assert {"backbone_ms", "forward_ms", "ratio", "peak_rss_mb", "stages"} <= set(result)
    stages = {"features", "backbone", "views", "head", "contrast", "map", "decode", "preprocess"}
    assert set(result["stages"]) == stages
    assert result["ratio"] == pytest.approx(result["forward_ms"] / result["backbone_ms"], abs=1e-3)
    inside = sum(v for k, v in result["stages"].items() if k not in {"decode", "preprocess"})
    assert inside <= result["forward_ms"]
    assert [row["batch"] for row in result["batches"]] == sizes
    assert result["peak_rss_mb"] > 0


@pytest.mark.parametrize("arguments", [["--backbone", "resnet"], ["--random-weights", "--size", "100"]])
def test_what_cannot_be_timed_is_named(arguments):
    answer = CliRunner().invoke(app, ["bench", *arguments])
    assert isinstance(answer.exception, ConfigError)


def test_bench_times_a_memory_inside_the_forward():
    arguments = ["bench", "--repeats", "1", "--device", "cpu", "--random-weights", "--size", "128", "--memory", "50"]
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    assert result["memory_tokens"] == 50
    assert 0 < result["stages"]["memory"] < result["forward_ms"]
    assert "a memory of 50 tokens adds" in CliRunner().invoke(app, arguments).output


def test_bench_times_the_features_beside_the_backbone():
    arguments = ["bench", "--repeats", "1", "--device", "cpu", "--random-weights", "--size", "128", "--memory", "50"]
    answer = CliRunner().invoke(app, [*arguments, "--features", "imagenet", "--json"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["stages"]["features"] > 0
