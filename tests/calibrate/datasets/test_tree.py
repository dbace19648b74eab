"""Which files count as images."""

import os

import pytest

from calibrate.datasets import read_data
from calibrate.datasets import tree as tree_module
from calibrate.errors import DataError
from tests.factories.images import (
    problem_lines,
    sample_rows,
    write_image,
    write_images,
)


def test_links_lead_nowhere_else(tmp_path):
    outside = write_image(tmp_path / "outside/1.png")
    root = tmp_path / "set"
    write_image(root / "good/1.png")
    links = {
        "a.png": outside,
        "b.png": root / "gone.png",
        "c": root / "good",
        "d": tmp_path / "outside",
        "e.png": root / "e.png",
        "f.png": root / "good/1.png",
    }
    for name, target in links.items():
        (root / "good" / name).symlink_to(target)
    data = read_data(root)
    assert list(sample_rows(data)) == ["good/1.png"]
    assert problem_lines(data) == (
        "good/a.png: a link that leads out of the data folder; left out",
        "good/b.png: a link to nothing; left out",
        "good/c: a link to a folder; left out",
        "good/d: a link that leads out of the data folder; left out",
        "good/e.png: a link to nothing; left out",
        "good/f.png: left out, same bytes as good/1.png",
    )


def test_names_that_cannot_be_written_and_pipes_are_passed_over(tmp_path):
    write_image(tmp_path / "1.png")
    (tmp_path / "two\nlines.png").write_bytes(b"x")
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb") as stream:  # noqa: PTH123
        stream.write(b"x")
    os.mkfifo(tmp_path / "pipe.png")
    data = read_data(tmp_path)
    assert list(sample_rows(data)) == ["1.png"]
    assert len(data.problems) == 2
    assert all("\n" not in line and line.encode() for line in problem_lines(data))


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    write_images(tmp_path, "1.png", "2.png", "3.png")
    monkeypatch.setattr(tree_module, "MAX_FILES", 2)
    with pytest.raises(DataError, match="more than 2 files"):
        read_data(tmp_path)
