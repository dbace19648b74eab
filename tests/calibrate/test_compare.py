"""`calibrate compare` on constructed runs: what is better, what is chance, and what is not comparable."""

import csv
import json
import time

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from calibrate.commands.compare import compare as command
from calibrate.errors import DataError
from calibrate.evaluation.compare import RESAMPLES, compare
from calibrate.evaluation.numbers import NAMES
from calibrate.evaluation.run import COLUMNS
from calibrate.evaluation.stored import read_stored
from calibrate.metrics.ranking import auroc, average_precision
from calibrate.statistics.bootstrap import draw_weights, weighted_ranking
from fbclip.errors import ConfigError


def write_run(folder, margins, labels, units=None, classes=None, definition="exact"):
    """A run's two files; margins of None are images that could not be judged."""
    folder.mkdir()
    names = classes or ["all"] * len(labels)
    numbers = dict.fromkeys(NAMES, 0.5)
    data = {
        "schema": "calibrate.evaluation/1",
        "definition": definition,
        "model": {"adapter": "ab" * 32},
        "classes": dict.fromkeys(names, numbers),
        "mean": {**numbers, "pixel_ap": None},
    }
    (folder / "evaluation.json").write_text(json.dumps(data))
    with (folder / "samples.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for k, (margin, label) in enumerate(zip(margins, labels, strict=True)):
            unit = f"u{k}" if units is None else units[k]
            kind = "defective" if label else "good"
            shown = "" if margin is None else repr(float(margin))
            writer.writerow([f"{k}.png", names[k], kind, "", unit, shown, "", "", "", f"{k:064x}"])
    return folder


def scores(seed, shift, n=60):
    """2n margins, the second half defective and `shift` higher."""
    noise = np.random.default_rng(seed).normal(size=2 * n)
    return noise + shift * (np.arange(2 * n) >= n), np.arange(2 * n) >= n


def pair(tmp_path, first, second, labels, **more):
    return [read_stored(write_run(tmp_path / n, m, labels, **more)) for n, m in (("one", first), ("two", second))]


def test_draws_rank_like_repeated_images():
    rng = np.random.default_rng(3)
    margins = rng.integers(0, 9, 40) / 2
    labels = rng.random(40) < 0.4
    weights = rng.integers(0, 4, (6, 40)).astype(float)
    found = weighted_ranking(margins, labels, weights)
    for k, row in enumerate(weights.astype(int)):
        repeated, truth = np.repeat(margins, row), np.repeat(labels, row)
        assert found.auroc[k] == pytest.approx(auroc(repeated, truth))
        assert found.average_precision[k] == pytest.approx(average_precision(repeated, truth))
    alone = weighted_ranking(margins, labels, np.tile(~labels, (1, 1)).astype(float))
    assert np.isnan(alone.auroc[0])
    assert np.isnan(alone.average_precision[0])


def test_units_are_drawn_whole_and_kinds_keep_their_numbers():
    units = ["a", "a", "b", "c", "c", "d"]
    labels = np.array([False, False, False, True, False, True])
    weights = np.concatenate(list(draw_weights(units, labels, 500, np.random.default_rng(0))))
    assert weights.shape == (500, 6)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, 0] + weights[:, 2] == 2).all()
    assert (weights[:, 3] + weights[:, 5] == 2).all()


def test_a_better_run_is_called_better_and_its_mirror_worse(tmp_path):
    weak, labels = scores(1, 0.5)
    strong = weak + 3 * labels
    runs = pair(tmp_path, weak, strong, labels)
    found = compare(runs).against[0].classes["all"]["image_auroc"]
    assert found.sentence == "B is better"
    assert found.difference == pytest.approx(auroc(strong, labels) - auroc(weak, labels))
    assert 0 < found.low <= found.difference <= found.high
    mirror = compare(runs[::-1]).against[0].mean["image_ap"]
    assert (mirror.sentence, mirror.outcome) == ("A is better", "worse")


def test_equal_and_like_runs_show_no_difference(tmp_path):
    first, labels = scores(1, 1.0)
    second, _ = scores(2, 1.0)
    runs = pair(tmp_path, first, second, labels)
    assert compare(runs).against[0].mean["image_auroc"].sentence == "no difference shown"
    same = compare([runs[0], runs[0]]).against[0].mean["image_ap"]
    assert (same.difference, same.low, same.high, same.outcome) == (0, 0, 0, "none")


def test_few_units_are_undecided_however_many_images(tmp_path):
    weak, labels = scores(1, 0.5)
    units = [f"{label}{k % 12}" for k, label in enumerate(labels)]
    found = compare(pair(tmp_path, weak, weak + 3 * labels, labels, units=units)).against[0].mean["image_auroc"]
    assert found.outcome == "undecided"
    assert "12 normal and 12 anomalous units" in found.sentence
    assert found.low is not None


def test_classes_of_one_kind_have_no_difference_and_do_not_enter_the_mean(tmp_path):
    weak, labels = scores(1, 0.5, 30)
    margins = np.concatenate((weak, [1.0, 2.0]))
    truth = np.concatenate((labels, [False, False]))
    classes = ["bolt"] * 60 + ["nut"] * 2
    found = compare(pair(tmp_path, margins, margins + truth, truth, classes=classes)).against[0]
    assert set(found.classes) == {"bolt"}
    assert found.mean == found.classes["bolt"]
    (tmp_path / "only").mkdir()
    only = compare(pair(tmp_path / "only", [1.0], [2.0], [True])).against[0].mean["image_auroc"]
    assert (only.difference, only.outcome) == (None, "undecided")


def test_other_images_are_refused_with_their_number(tmp_path):
    margins, labels = scores(1, 1)
    one = read_stored(write_run(tmp_path / "one", margins, labels))
    two = read_stored(write_run(tmp_path / "two", margins[:-3], labels[:-3]))
    with pytest.raises(DataError, match="3 images are only in A, 0 only in B"):
        compare([one, two])
    turned = read_stored(write_run(tmp_path / "turned", margins, ~labels))
    with pytest.raises(DataError, match="120 images are only in A, 120 only in C"):
        compare([one, one, turned])
    with pytest.raises(ConfigError, match="2 to"):
        compare([one])


def test_images_that_one_run_rejected_are_left_out_of_both(tmp_path):
    margins, labels = scores(1, 1)
    runs = pair(tmp_path, margins, [None, *margins[1:]], labels)
    found = compare(runs)
    assert found.against[0].mean["image_auroc"].difference == 0
    assert "1 images that some run could not judge" in found.notes[0]


def test_two_thousand_draws_of_three_hundred_images_take_no_time(tmp_path):
    margins, labels = scores(1, 1, 150)
    runs = pair(tmp_path, margins, margins + labels, labels)
    start = time.perf_counter()
    compare(runs)
    assert time.perf_counter() - start < 5


def run(*arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_command_writes_markdown_and_json(tmp_path):
    margins, labels = scores(1, 0.5)
    folders = [write_run(tmp_path / n, margins + k * labels, labels) for k, n in enumerate(("base", "next", "last"))]
    answer = run(*folders, "--out", tmp_path / "c.md")
    assert answer.exit_code == 0, answer.output
    text = (tmp_path / "c.md").read_text()
    assert "B is better" in text
    assert "| pixel AP | n/a |" in text
    assert "C − A" in text
    printed = json.loads(run(*folders, "--json").stdout)
    assert (printed["schema"], printed["resamples"]) == ("calibrate.comparison/1", RESAMPLES)
    assert [r["name"] for r in printed["runs"]] == ["base", "next", "last"]
    assert printed["comparisons"][1]["mean"]["image_auroc"]["outcome"] == "better"
    assert printed == json.loads(run(*folders, "--json").stdout)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("evaluation.json", "{}", "schema"),
        ("evaluation.json", "no json", "cannot be read"),
        ("evaluation.json", '{"schema": "calibrate.evaluation/1"}', "damaged"),
        ("samples.csv", "path\nx\n", "cannot be read"),
    ],
)
def test_a_damaged_run_is_named(tmp_path, file, content, says):
    folder = write_run(tmp_path / "run", [1.0], [True])
    (folder / file).write_text(content)
    with pytest.raises(DataError, match=says) as caught:
        read_stored(folder)
    assert file in str(caught.value)
