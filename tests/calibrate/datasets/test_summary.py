"""What `calibrate data` says of a set, and when it calls it unusable."""

import json

import pytest
import typer
from typer.testing import CliRunner

from calibrate.commands.data import data as command
from calibrate.datasets import read_data
from calibrate.datasets.summary import MAX_LINES, summarise, summary_text
from calibrate.errors import DataError
from tests.factories.images import mvtec_tree, write_image, write_images


@pytest.fixture
def bottle(tmp_path):
    mvtec_tree(tmp_path / "bottle")
    return tmp_path / "bottle"


def run(*arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_counts_sizes_and_kinds(bottle):
    write_image(bottle / "test/dent/1.png", size=(30, 20))
    summary = summarise(read_data(bottle))
    (one,) = summary.classes
    assert one.counts == {
        "train": {"good": 2, "defective": 0, "unlabelled": 0},
        "test": {"good": 1, "defective": 3, "unlabelled": 0},
    }
    assert (one.name, one.kinds, one.units, one.masks) == ("bottle", {"broken": 2, "dent": 1}, 6, 2)
    assert (summary.sizes.smallest, summary.sizes.median, summary.sizes.largest) == ((16, 12), (16, 12), (30, 20))
    assert summary.sizes.distinct == 2
    assert summary.notes == ("test/dent/1.png: anomalous without a mask, though others of bottle have one",)
    assert summary.usable
    assert json.loads(json.dumps(summary.as_dict()))["usable"] is True


def test_leakage_by_bytes_and_by_unit(bottle):
    (bottle / "test/good/copy.png").write_bytes((bottle / "train/good/001.png").read_bytes())
    summary = summarise(read_data(bottle))
    assert summary.leakage == ("test/good/copy.png: in test, and the same bytes in train as train/good/001.png",)
    assert summary.same_bytes == (("test/good/copy.png", "train/good/001.png"),)
    assert not summary.usable
    (bottle / "test/good/copy.png").unlink()

    assert summarise(read_data(bottle)).usable
    by_name = summarise(read_data(bottle, unit_from=r"^\d+"))
    assert by_name.leakage == ("test/good/000.png: in test, and its unit bottle/000 in train with train/good/000.png",)


def test_copies_are_counted_and_two_labels_found(tmp_path):
    for name in ("good/1.png", "good/2.png", "good/3.png", "bad/4.png"):
        write_image(tmp_path / name, 1)
    summary = summarise(read_data(tmp_path))
    assert (summary.pictures, summary.copies) == (2, 2)
    assert summary.two_labels == ("bad/4.png: anomalous, but good/1.png has the same bytes and is normal",)
    assert len(summary.notes) == 2
    assert not summary.usable
    assert summary_text(summary).count("bad/4.png") == 1


def test_masks_of_another_size_and_unreadable_files_are_listed(bottle):
    write_image(bottle / "ground_truth/broken/9_mask.png", size=(17, 12))
    cut = bottle / "test/broken/10.png"
    cut.write_bytes(cut.read_bytes()[:-20])
    (bottle / "train/good/empty.png").write_bytes(b"")
    write_image(bottle / "train/good/tiny.png", size=(4, 4))
    (bottle / "ground_truth/broken/10_mask.png").write_text("no image")
    summary = summarise(read_data(bottle))
    assert summary.mask_sizes == ("ground_truth/broken/9_mask.png: 17x12, but test/broken/9.png is 16x12",)
    assert [line.split(":")[:2] for line in summary.unreadable] == [
        ["test/broken/10.png", " truncated"],
        ["ground_truth/broken/10_mask.png", " not_an_image"],
        ["train/good/empty.png", " empty"],
        ["train/good/tiny.png", " too_small"],
    ]
    assert not summary.usable


def test_a_file_that_vanishes_is_unreadable(bottle):
    data = read_data(bottle)
    (bottle / "train/good/000.png").unlink()
    (line,) = summarise(data).unreadable
    assert line == "train/good/000.png: No such file or directory"


def test_nothing_readable_has_no_sizes(tmp_path):
    (tmp_path / "1.png").write_bytes(b"x")
    summary = summarise(read_data(tmp_path))
    assert summary.sizes is None
    assert "NOT USABLE" in summary_text(summary)


def test_text_is_bounded_and_takes_brackets_as_they_are(tmp_path):
    write_images(tmp_path, "[red]a/train/good/1.png")
    for n in range(MAX_LINES + 5):
        write_image(tmp_path / f"[red]a/train/good/x{n:02}.png", 9)
    text = summary_text(summarise(read_data(tmp_path)))
    assert "[red]a" in text
    assert "... and 4 more" in text
    assert text.splitlines()[-1] == "usable"


def test_command_says_it_by_its_exit_code(bottle):
    answer = run(bottle)
    assert answer.exit_code == 0, answer.output
    assert "bottle" in answer.stdout
    answer = run(bottle, "--json", "--unit-from", r"^\d+", "--layout", "mvtec")
    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["usable"] is False
    assert isinstance(run(bottle / "gone").exception, DataError)
