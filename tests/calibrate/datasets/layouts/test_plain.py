"""Folders of normal images, or of folders that say normal or anomalous."""

import pytest

from calibrate.datasets import read_data
from calibrate.errors import DataError
from fbclip.files import file_sha256
from tests.factories.images import (
    problem_lines,
    sample_rows,
    write_images,
)


def test_a_folder_of_normal_images_in_all_suffixes_without_the_nuisances(tmp_path):
    names = ("a.png", "B.JPG", "c.jpeg", "d.BMP", "e.TIF", "f.tiff", "g.webp")
    nuisances = ("__MACOSX/y.png", "@eaDir/a.png/thumb.jpg", "$RECYCLE.BIN/z.png")
    write_images(tmp_path, *names, ".hidden.png", ".cache/x.png", *nuisances)
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    data = read_data(tmp_path)
    assert data.layout == "plain"
    assert [s.path.name for s in data.samples] == sorted(names)
    assert {(s.label, s.split, s.class_name, s.kind, s.mask) for s in data.samples} == {
        (False, None, "all", None, None)
    }
    assert [s.unit for s in data.samples] == sorted(names)
    assert data.samples[0].sha256 == file_sha256(tmp_path / "B.JPG")
    assert sorted(map(str, data.problems)) == [
        ".: files of systems: 1",
        ".: folders of systems, with all that is in them: 3",
    ]
    assert data.classes == ("all",)


@pytest.mark.parametrize(("folder", "split"), [("good", None), ("OK", None), ("normal", None), ("train/good", "train")])
def test_normal_alone_is_a_data_set(tmp_path, folder, split):
    write_images(tmp_path, f"{folder}/1.png", f"{folder}/2.png")
    data = read_data(tmp_path)
    assert data.layout == "plain"
    assert sample_rows(data) == {f"{folder}/{n}.png": ("all", split, False, None, None) for n in (1, 2)}
    assert len(data.normal()) == 2
    assert not data.anomalous()


def test_every_other_folder_is_anomalous_and_pred_is_not_labelled(tmp_path):
    write_images(tmp_path, "Good/1.png", "NG/1.png", "scratch/1.png", "defect/dent/1.png", "pred/1.png")
    assert sample_rows(read_data(tmp_path)) == {
        "Good/1.png": ("all", None, False, None, None),
        "NG/1.png": ("all", None, True, "NG", None),
        "scratch/1.png": ("all", None, True, "scratch", None),
        "defect/dent/1.png": ("all", None, True, "dent", None),
        "pred/1.png": ("all", None, None, None, None),
    }


@pytest.mark.parametrize("mask", ["masks/{}.png", "ground_truth/{}_mask.png", "masks/dent/{}.png", "dent/masks/{}.bmp"])
def test_masks_are_paired_by_stem(tmp_path, mask):
    write_images(tmp_path, "good/1.png", *(f"dent/{n}.jpg" for n in (2, 9, 10)))
    write_images(tmp_path, *(mask.format(n) for n in (2, 9, 10)))
    data = read_data(tmp_path)
    assert not data.problems
    assert {s.path.name: s.mask for s in data.anomalous()} == {
        f"{n}.jpg": tmp_path / mask.format(n) for n in (2, 9, 10)
    }


def test_a_missing_and_a_spare_mask_are_reported_with_their_names(tmp_path):
    write_images(tmp_path, "good/1.png", "bad/2.png", "bad/3.png", "masks/2.png", "masks/7.png", "masks/1.png")
    data = read_data(tmp_path)
    assert problem_lines(data) == (
        "masks/1.png: a mask that no anomalous image is called like; not used",
        "masks/7.png: a mask that no anomalous image is called like; not used",
        "bad/3.png: anomalous without a mask, though others of all have one",
    )


def test_a_mask_that_two_images_claim_is_given_to_neither(tmp_path):
    write_images(tmp_path, "good/1.png", "dent/2.png", "crack/2.png", "masks/2.png")
    data = read_data(tmp_path)
    assert [s.mask for s in data.anomalous()] == [None, None]
    assert problem_lines(data) == ("masks/2.png: may be the mask of crack/2.png or of dent/2.png; not used",)


@pytest.mark.parametrize("spare", ["1_label.bmp", "1_mask.png", "masks/1.png"])
def test_masks_are_never_taken_for_normal_images(tmp_path, spare):
    write_images(tmp_path, "1.png", spare)
    with pytest.raises(DataError, match="mask"):
        read_data(tmp_path)


def test_images_beside_the_layout_are_counted_by_folder(tmp_path):
    write_images(tmp_path, "1.png", "4.png", "more/2.png", "more/3.png")
    data = read_data(tmp_path)
    assert list(sample_rows(data)) == ["1.png", "4.png"]
    assert problem_lines(data) == ("more: no place in the layout plain; images left out: 2",)
