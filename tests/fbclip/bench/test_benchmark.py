"""The benchmark runs every stage and its parts add up; no assertion on seconds."""

import json

import pytest
from typer.testing import CliRunner

from fbclip.bench.results import BatchResult, BenchResult
from fbclip.cli import app
from fbclip.errors import ConfigError


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        ([], [1]),
        (["--random-weights", "--batch", "1", "--batch", "3", "--precision", "bfloat16", "--size", "64"], [1, 3]),
    ],
)
def test_bench_gives_the_contract_fields(arguments, sizes):
    answer = CliRunner().invoke(app, ["bench", "--json", "--repeats", "1", *arguments])
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


@pytest.mark.parametrize("features", [None, "imagenet"])
def test_bench_times_a_memory_inside_the_forward(features):
    arguments = ["bench", "--json", "--repeats", "1", "--random-weights", "--size", "64", "--memory", "50"]
    answer = CliRunner().invoke(app, [*arguments, *(["--features", features] if features else [])])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    assert result["memory_tokens"] == 50
    assert 0 < result["stages"]["memory"] < result["forward_ms"]
    assert result["stages"]["features"] > 0


def test_the_text_says_what_a_memory_adds():
    row = BatchResult(8, 100.0, 200.0, 2.0, 40.0, {"memory": 15.0, "features": 25.0})
    result = BenchResult(
        "embedded", 256, 50, "cpu", "float32", 2, 5, 100.0, 200.0, 2.0, 300.0, None,
        {"decode": 20.0, "preprocess": 10.0}, (row,),
    )  # fmt: skip
    assert "a memory of 50 tokens adds 25.0% to the forward" in result.text()
