"""Which images show the same part."""

import pytest

from calibrate.datasets import read_data
from calibrate.errors import DataError
from tests.factories.images import (
    write_image,
    write_images,
)


def test_units_from_the_name_lie_within_a_class(tmp_path):
    write_images(tmp_path, "a/train/good/p1_1.png", "a/train/good/p1_2.png", "b/train/good/p1_1.png")
    data = read_data(tmp_path, unit_from=r"p(\d+)_")
    assert [s.unit for s in data.samples] == ["a/1", "a/1", "b/1"]
    assert [s.unit for s in read_data(tmp_path, unit_from=r"p\d+").samples] == ["a/p1", "a/p1", "b/p1"]


@pytest.mark.parametrize("pattern", [r"q\d", r"(q)?p", r"x*", "("])
def test_a_name_without_a_unit_and_an_invalid_expression_are_errors(tmp_path, pattern):
    write_image(tmp_path / "p1.png")
    with pytest.raises(DataError, match="--unit-from"):
        read_data(tmp_path, unit_from=pattern)


def test_units_from_folders(tmp_path):
    write_images(tmp_path, "good/part1/1.png", "good/part1/2.png", "good/part2/1.png")
    assert [s.unit for s in read_data(tmp_path, unit_from="folder").samples] == ["good/part1"] * 2 + ["good/part2"]


def collected(root):
    write_images(root, "good/press-00001.png", "good/press-00002.png", "bad/press-00003.png", "bad/other.png")
    (root / "collect.csv").write_text(
        "file,unit,line,ts,frame_number\npress-00001.png,1,press,,0\npress-00002.png,1,press,,1\npress-00003.png,2,press,,\n"
    )


def test_collected_units_are_used_and_follow_a_moved_image(tmp_path):
    collected(tmp_path)
    assert [(s.path.name, s.unit) for s in read_data(tmp_path).samples] == [
        ("other.png", "bad/other.png"),
        ("press-00003.png", "press/2"),
        ("press-00001.png", "press/1"),
        ("press-00002.png", "press/1"),
    ]
    assert {s.unit for s in read_data(tmp_path, unit_from=".*").samples} >= {"all/other.png"}
    with pytest.raises(DataError, match=r"other\.png"):
        read_data(tmp_path, unit_from="collect")
    (tmp_path / "bad/other.png").unlink()
    assert {s.unit for s in read_data(tmp_path, unit_from="collect").samples} == {"press/1", "press/2"}


def test_collect_needs_its_table_and_a_table_that_agrees(tmp_path):
    write_image(tmp_path / "good/1.png")
    table = tmp_path / "collect.csv"
    with pytest.raises(DataError, match=r"collect\.csv"):
        read_data(tmp_path, unit_from="collect")
    table.write_text("file,line\n1.png,press\n")
    assert read_data(tmp_path).samples[0].unit == "good/1.png"
    with pytest.raises(DataError, match="unit"):
        read_data(tmp_path, unit_from="collect")
    table.write_text("file,unit\n1.png,1\n1.png,2\n")
    with pytest.raises(DataError, match=r"1\.png"):
        read_data(tmp_path)
