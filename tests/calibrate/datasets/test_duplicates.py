"""The same bytes more than once."""

from collections import Counter

from calibrate.datasets import read_data
from tests.factories.images import (
    problem_lines,
    sample_rows,
    write_image,
    write_images,
)


def test_yes_and_no_repeated_one_level_down_count_once(tmp_path):
    for top in ("", "brain_tumor_dataset/"):
        for seed, name in enumerate(("no/1 no.jpeg", "no/2 no.JPG", "yes/Y1.jpg", "yes/Y2.JPG")):
            write_image(tmp_path / f"{top}{name}", seed)
    data = read_data(tmp_path)
    assert len(data.samples) == 4
    assert Counter(s.label for s in data.samples) == {False: 2, True: 2}
    assert len(data.problems) == 4
    assert all(p.kind == "copy" and "left out, same bytes as" in str(p) for p in data.problems)


def test_an_image_whose_copy_comes_first_keeps_its_mask(tmp_path):
    write_images(tmp_path, "good/1.png", "masks/bad/2.png")
    for name in ("again/bad/2.png", "bad/2.png"):
        write_image(tmp_path / name, 5)
    data = read_data(tmp_path)
    assert sample_rows(data)["again/bad/2.png"][4] == "masks/bad/2.png"


def test_same_bytes_under_two_labels_are_kept_and_reported(tmp_path):
    write_image(tmp_path / "good/1.png", 3)
    write_image(tmp_path / "bad/2.png", 3)
    data = read_data(tmp_path)
    assert len(data.samples) == 2
    assert problem_lines(data) == ("bad/2.png: anomalous, but good/1.png has the same bytes and is normal",)


def test_a_copy_across_splits_is_kept_for_the_summary_to_find(tmp_path):
    write_image(tmp_path / "train/good/1.png", 1)
    write_image(tmp_path / "test/good/2.png", 1)
    assert [s.split for s in read_data(tmp_path).samples] == ["test", "train"]
