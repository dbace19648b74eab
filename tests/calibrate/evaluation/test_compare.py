"""Constructed runs: what is better, what is chance, and what is not comparable."""

import time

import numpy as np
import pytest

from calibrate.errors import DataError
from calibrate.evaluation.compare import compare, read_compared
from calibrate.metrics.ranking import auroc
from fbclip.errors import ConfigError
from tests.factories.runs import margin_pair, shifted_margins, write_margins


def test_a_better_run_is_called_better_and_its_mirror_worse(tmp_path):
    weak, labels = shifted_margins(1, 0.5)
    strong = weak + 3 * labels
    runs = margin_pair(tmp_path, weak, strong, labels)
    found = compare(runs).against[0].classes["all"]["image_auroc"]
    assert found.sentence == "B is better"
    assert found.difference == pytest.approx(auroc(strong, labels) - auroc(weak, labels))
    assert 0 < found.low <= found.difference <= found.high
    mirror = compare(runs[::-1]).against[0].mean["image_ap"]
    assert (mirror.sentence, mirror.outcome) == ("A is better", "worse")


def test_equal_and_like_runs_show_no_difference(tmp_path):
    first, labels = shifted_margins(1, 1.0)
    second, _ = shifted_margins(2, 1.0)
    runs = margin_pair(tmp_path, first, second, labels)
    assert compare(runs).against[0].mean["image_auroc"].sentence == "no difference shown"
    same = compare([runs[0], runs[0]]).against[0].mean["image_ap"]
    assert (same.difference, same.low, same.high, same.outcome) == (0, 0, 0, "none")


def test_few_units_are_undecided_however_many_images(tmp_path):
    weak, labels = shifted_margins(1, 0.5)
    units = [f"{label}{k % 12}" for k, label in enumerate(labels)]
    found = compare(margin_pair(tmp_path, weak, weak + 3 * labels, labels, units=units)).against[0].mean["image_auroc"]
    assert found.outcome == "undecided"
    assert "12 normal and 12 anomalous units" in found.sentence
    assert found.low is not None


def test_classes_of_one_kind_have_no_difference_and_do_not_enter_the_mean(tmp_path):
    weak, labels = shifted_margins(1, 0.5, 30)
    margins = np.concatenate((weak, [1.0, 2.0]))
    truth = np.concatenate((labels, [False, False]))
    classes = ["bolt"] * 60 + ["nut"] * 2
    found = compare(margin_pair(tmp_path, margins, margins + truth, truth, classes=classes)).against[0]
    assert set(found.classes) == {"bolt"}
    assert found.mean == found.classes["bolt"]
    (tmp_path / "only").mkdir()
    only = compare(margin_pair(tmp_path / "only", [1.0], [2.0], [True])).against[0].mean["image_auroc"]
    assert (only.difference, only.outcome) == (None, "undecided")


def test_other_images_are_refused_with_their_number(tmp_path):
    margins, labels = shifted_margins(1, 1)
    one = read_compared(write_margins(tmp_path / "one", margins, labels))
    two = read_compared(write_margins(tmp_path / "two", margins[:-3], labels[:-3]))
    with pytest.raises(DataError, match="3 images are only in A, 0 only in B"):
        compare([one, two])
    turned = read_compared(write_margins(tmp_path / "turned", margins, ~labels))
    with pytest.raises(DataError, match="120 images are only in A, 120 only in C"):
        compare([one, one, turned])
    with pytest.raises(ConfigError, match="2 to"):
        compare([one])


def test_images_that_one_run_rejected_are_left_out_of_both(tmp_path):
    margins, labels = shifted_margins(1, 1)
    runs = margin_pair(tmp_path, margins, [None, *margins[1:]], labels)
    found = compare(runs)
    assert found.against[0].mean["image_auroc"].difference == 0
    assert "1 images that some run could not judge" in found.notes[0]


def test_two_thousand_draws_of_three_hundred_images_take_no_time(tmp_path):
    margins, labels = shifted_margins(1, 1, 150)
    runs = margin_pair(tmp_path, margins, margins + labels, labels)
    start = time.perf_counter()
    compare(runs)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("evaluation.json", "{}", "schema: not"),
        ("evaluation.json", "no json", "cannot be read"),
        ("evaluation.json", '{"schema": "calibrate.evaluation/1"}', "model.adapter: missing"),
        ("samples.csv", "path\nx\n", "line 1: no column class"),
    ],
)
def test_a_damaged_run_is_named(tmp_path, file, content, says):
    folder = write_margins(tmp_path / "run", [1.0], [True])
    whole = (folder / "evaluation.json").read_text()
    (folder / file).write_text(content)
    with pytest.raises(DataError, match=says) as caught:
        read_compared(folder)
    assert file in str(caught.value)
    (folder / "evaluation.json").write_text(whole)
    (folder / "samples.csv").unlink()
    with pytest.raises(DataError, match=r"samples\.csv: cannot be read: No such file"):
        read_compared(folder)
