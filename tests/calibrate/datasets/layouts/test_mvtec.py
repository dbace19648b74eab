"""MVTec AD's layout."""

from collections import Counter
from pathlib import Path

import pytest

from calibrate.datasets import read_data
from tests.factories.images import (
    mvtec_tree,
    problem_lines,
    sample_rows,
    write_images,
)

SHARED = Path(__file__).parents[5] / "shared/data"


def test_mvtec_one_class(tmp_path):
    mvtec_tree(tmp_path / "bottle")
    (tmp_path / "bottle/boxes.csv").write_text("file,x\n")
    data = read_data(tmp_path / "bottle")
    assert data.layout == "mvtec"
    assert not data.problems
    assert sample_rows(data) == {
        "train/good/000.png": ("bottle", "train", False, None, None),
        "train/good/001.png": ("bottle", "train", False, None, None),
        "test/good/000.png": ("bottle", "test", False, None, None),
        "test/broken/9.png": ("bottle", "test", True, "broken", "ground_truth/broken/9_mask.png"),
        "test/broken/10.png": ("bottle", "test", True, "broken", "ground_truth/broken/10_mask.png"),
    }


def test_mvtec_classes_of_which_one_has_only_normal_and_one_no_masks(tmp_path):
    mvtec_tree(tmp_path / "bottle")
    write_images(tmp_path, "cable/train/good/1.png", "brain/test/good/1.jpg", "brain/test/tumor/1.jpg")
    (tmp_path / "README.md").write_text("x")
    data = read_data(tmp_path)
    assert (data.layout, data.problems) == ("mvtec", ())
    assert data.classes == ("bottle", "brain", "cable")
    assert sample_rows(data)["brain/test/tumor/1.jpg"] == ("brain", "test", True, "tumor", None)


def test_mvtec_with_ok_and_ko(tmp_path):
    write_images(tmp_path, "01/train/ok/1.bmp", "01/test/ok/2.bmp", "01/test/ko/3.bmp", "01/ground_truth/ko/3.png")
    found = sample_rows(read_data(tmp_path))
    assert found["01/test/ok/2.bmp"] == ("01", "test", False, None, None)
    assert found["01/test/ko/3.bmp"] == ("01", "test", True, "ko", "01/ground_truth/ko/3.png")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared sets are not here")
@pytest.mark.parametrize(
    ("folder", "counts"), [("cookie", (31, 14, 32, 32)), ("pcb", (240, 90, 179, 179)), ("brain_mri", (39, 32, 127, 0))]
)
def test_real_sets_have_the_counts_they_state(folder, counts):
    data = read_data(SHARED / folder)
    normal = Counter(s.split for s in data.normal())
    masks = [s for s in data.samples if s.mask is not None]
    assert (normal["train"], normal["test"], len(data.anomalous()), len(masks)) == counts
    assert data.layout == "mvtec"
    assert all(s.mask.stem == f"{s.path.stem}_mask" for s in masks)
    extra = ("extra_unmasked/cracked: no place in the layout mvtec; images left out: 8",)
    assert problem_lines(data) == (extra if folder == "cookie" else ())
