"""Which images a folder, a counter or wildcards name, and in which order."""

import pytest

from agent.sources.sequence import find_sequence, natural_key


def names(path):
    return [file.name for file in find_sequence(path).files]


@pytest.fixture
def folder(tmp_path):
    for name in ("part_0010.png", "part_0002.png", "part_0009.png", "part_12345.png", "part_7.png", "other_1.JPG"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("Thumbs.db", ".part_0011.png", "part_0012.png.tmp", "part_0013.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "part_0014.png").mkdir()
    return tmp_path


def test_a_folder_has_its_images_in_natural_order(folder):
    assert names(folder) == [
        "other_1.JPG", "part_0002.png", "part_7.png", "part_0009.png", "part_0010.png", "part_12345.png",
    ]  # fmt: skip


def test_wildcards_choose_among_them(folder):
    assert names(folder / "part_00*.png") == ["part_0002.png", "part_0009.png", "part_0010.png"]


def test_a_counter_names_its_width_at_least_and_goes_on_after_gaps(folder):
    sequence = find_sequence(folder / "part_%04d.png")
    assert [file.name for file in sequence.files] == [
        "part_0002.png", "part_0009.png", "part_0010.png", "part_12345.png",
    ]  # fmt: skip
    assert "12340 numbers between the first and the last are missing" in sequence.choice
    assert names(folder / "part_%d.png")[1] == "part_7.png"


def test_one_file_is_a_video_whatever_its_name(folder):
    (folder / "belt_%d*.mp4").write_bytes(b"x")
    assert find_sequence(folder / "belt_%d*.mp4") is None
    assert find_sequence(folder / "missing.mp4") is None


def test_natural_order_takes_any_name():
    assert sorted(["a10", "a9", "b", "10", "9", "", "a٣", "7" * 500], key=natural_key)[:4] == ["", "9", "10", "7" * 500]
