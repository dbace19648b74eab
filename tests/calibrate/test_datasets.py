"""Readers of labelled images, on real small files in every layout and its nuisances."""

import json
import os
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calibrate.datasets import read_data
from calibrate.datasets import tree as tree_module
from calibrate.datasets.pairs import pair_masks
from calibrate.datasets.sample import data_sha256
from calibrate.errors import DataError
from fbclip.errors import ConfigError
from fbclip.files import file_sha256

SHARED = Path(__file__).parents[3] / "shared/data"


def image(path, seed=None, size=(16, 12)):
    """A small image that no other path has, or the one of `seed`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = zlib.crc32(str(path).encode()) if seed is None else seed
    pixels = np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
    Image.fromarray(pixels).save(path, kinds[path.suffix.lower()])
    return path


def images(root, *names):
    for name in names:
        image(root / name)


def rows(data):
    """{file: (class, split, label, kind, mask)} with paths relative to the folder."""

    def name(path):
        return None if path is None else path.relative_to(data.root).as_posix()

    return {name(s.path): (s.class_name, s.split, s.label, s.kind, name(s.mask)) for s in data.samples}


def mvtec(root):
    images(
        root,
        "train/good/000.png",
        "train/good/001.png",
        "test/good/000.png",
        "test/broken/9.png",
        "test/broken/10.png",
        "ground_truth/broken/10_mask.png",
        "ground_truth/broken/9_mask.png",
    )


# plain


def test_a_folder_of_normal_images_in_all_suffixes_without_the_nuisances(tmp_path):
    names = ("a.png", "B.JPG", "c.jpeg", "d.BMP", "e.TIF", "f.tiff")
    images(tmp_path, *names, ".hidden.png", ".cache/x.png", "__MACOSX/y.png")
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
    assert data.problems == ()
    assert data.classes == ("all",)


@pytest.mark.parametrize(("folder", "split"), [("good", None), ("OK", None), ("normal", None), ("train/good", "train")])
def test_normal_alone_is_a_data_set(tmp_path, folder, split):
    images(tmp_path, f"{folder}/1.png", f"{folder}/2.png")
    data = read_data(tmp_path)
    assert data.layout == "plain"
    assert rows(data) == {f"{folder}/{n}.png": ("all", split, False, None, None) for n in (1, 2)}
    assert len(data.normal()) == 2
    assert not data.anomalous()


def test_every_other_folder_is_anomalous_and_pred_is_not_labelled(tmp_path):
    images(tmp_path, "Good/1.png", "NG/1.png", "scratch/1.png", "defect/dent/1.png", "pred/1.png")
    assert rows(read_data(tmp_path)) == {
        "Good/1.png": ("all", None, False, None, None),
        "NG/1.png": ("all", None, True, "NG", None),
        "scratch/1.png": ("all", None, True, "scratch", None),
        "defect/dent/1.png": ("all", None, True, "dent", None),
        "pred/1.png": ("all", None, None, None, None),
    }


def test_yes_and_no_repeated_one_level_down_count_once(tmp_path):
    for top in ("", "brain_tumor_dataset/"):
        for seed, name in enumerate(("no/1 no.jpeg", "no/2 no.JPG", "yes/Y1.jpg", "yes/Y2.JPG")):
            image(tmp_path / f"{top}{name}", seed)
    data = read_data(tmp_path)
    assert len(data.samples) == 4
    assert Counter(s.label for s in data.samples) == {False: 2, True: 2}
    assert len(data.problems) == 4
    assert all("left out, same bytes as" in line for line in data.problems)


@pytest.mark.parametrize("mask", ["masks/{}.png", "ground_truth/{}_mask.png", "masks/dent/{}.png", "dent/masks/{}.bmp"])
def test_masks_are_paired_by_stem(tmp_path, mask):
    images(tmp_path, "good/1.png", *(f"dent/{n}.jpg" for n in (2, 9, 10)))
    images(tmp_path, *(mask.format(n) for n in (2, 9, 10)))
    data = read_data(tmp_path)
    assert data.problems == ()
    assert {s.path.name: s.mask for s in data.anomalous()} == {
        f"{n}.jpg": tmp_path / mask.format(n) for n in (2, 9, 10)
    }


def test_a_missing_and_a_spare_mask_are_told_with_their_names(tmp_path):
    images(tmp_path, "good/1.png", "bad/2.png", "bad/3.png", "masks/2.png", "masks/7.png", "masks/1.png")
    data = read_data(tmp_path)
    assert data.problems == (
        "masks/1.png: a mask that no anomalous image is called like; not used",
        "masks/7.png: a mask that no anomalous image is called like; not used",
        "bad/3.png: defective without a mask, though others of all have one",
    )


def test_a_mask_that_two_images_claim_is_given_to_neither(tmp_path):
    images(tmp_path, "good/1.png", "dent/2.png", "crack/2.png", "masks/2.png")
    data = read_data(tmp_path)
    assert [s.mask for s in data.anomalous()] == [None, None]
    assert data.problems == ("masks/2.png: may be the mask of crack/2.png or of dent/2.png; not used",)


def test_a_image_whose_copy_comes_first_keeps_its_mask(tmp_path):
    images(tmp_path, "good/1.png", "masks/bad/2.png")
    for name in ("again/bad/2.png", "bad/2.png"):
        image(tmp_path / name, 5)
    data = read_data(tmp_path)
    assert rows(data)["again/bad/2.png"][4] == "masks/bad/2.png"


@pytest.mark.parametrize("spare", ["1_label.bmp", "1_mask.png", "masks/1.png"])
def test_masks_are_never_taken_for_normal_images(tmp_path, spare):
    images(tmp_path, "1.png", spare)
    with pytest.raises(DataError, match="mask"):
        read_data(tmp_path)


def test_images_beside_the_layout_are_counted_by_folder(tmp_path):
    images(tmp_path, "1.png", "more/2.png", "more/3.png")
    data = read_data(tmp_path)
    assert list(rows(data)) == ["1.png"]
    assert data.problems == ("more: no place in the layout plain; images left out: 2",)


def test_same_bytes_under_two_labels_are_kept_and_told(tmp_path):
    image(tmp_path / "good/1.png", 3)
    image(tmp_path / "bad/2.png", 3)
    data = read_data(tmp_path)
    assert len(data.samples) == 2
    assert data.problems == ("bad/2.png: defective, but good/1.png has the same bytes and is good",)


# mvtec


def test_mvtec_one_class(tmp_path):
    mvtec(tmp_path / "bottle")
    (tmp_path / "bottle/boxes.csv").write_text("file,x\n")
    data = read_data(tmp_path / "bottle")
    assert data.layout == "mvtec"
    assert data.problems == ()
    assert rows(data) == {
        "train/good/000.png": ("bottle", "train", False, None, None),
        "train/good/001.png": ("bottle", "train", False, None, None),
        "test/good/000.png": ("bottle", "test", False, None, None),
        "test/broken/9.png": ("bottle", "test", True, "broken", "ground_truth/broken/9_mask.png"),
        "test/broken/10.png": ("bottle", "test", True, "broken", "ground_truth/broken/10_mask.png"),
    }


def test_mvtec_classes_of_which_one_has_only_normal_and_one_no_masks(tmp_path):
    mvtec(tmp_path / "bottle")
    images(tmp_path, "cable/train/good/1.png", "brain/test/good/1.jpg", "brain/test/tumor/1.jpg")
    (tmp_path / "README.md").write_text("x")
    data = read_data(tmp_path)
    assert (data.layout, data.problems) == ("mvtec", ())
    assert data.classes == ("bottle", "brain", "cable")
    assert rows(data)["brain/test/tumor/1.jpg"] == ("brain", "test", True, "tumor", None)


def test_mvtec_with_ok_and_ko(tmp_path):
    images(tmp_path, "01/train/ok/1.bmp", "01/test/ok/2.bmp", "01/test/ko/3.bmp", "01/ground_truth/ko/3.png")
    found = rows(read_data(tmp_path))
    assert found["01/test/ok/2.bmp"] == ("01", "test", False, None, None)
    assert found["01/test/ko/3.bmp"] == ("01", "test", True, "ko", "01/ground_truth/ko/3.png")


def test_a_copy_across_splits_is_kept_for_the_summary_to_find(tmp_path):
    image(tmp_path / "train/good/1.png", 1)
    image(tmp_path / "test/good/2.png", 1)
    assert [s.split for s in read_data(tmp_path).samples] == ["test", "train"]


# visa


def visa(root):
    images(
        root,
        "candle/Data/Images/Normal/000.JPG",
        "candle/Data/Images/Normal/001.JPG",
        "candle/Data/Images/Anomaly/000.JPG",
        "candle/Data/Masks/Anomaly/000.png",
    )


def test_visa_without_a_split_file(tmp_path):
    visa(tmp_path)
    data = read_data(tmp_path)
    assert (data.layout, data.problems) == ("visa", ())
    assert rows(data) == {
        "candle/Data/Images/Normal/000.JPG": ("candle", None, False, None, None),
        "candle/Data/Images/Normal/001.JPG": ("candle", None, False, None, None),
        "candle/Data/Images/Anomaly/000.JPG": (
            "candle",
            None,
            True,
            "Anomaly",
            "candle/Data/Masks/Anomaly/000.png",
        ),
    }
    assert {s.class_name for s in read_data(tmp_path / "candle").samples} == {"candle"}


def test_visa_split_file_decides(tmp_path):
    visa(tmp_path)
    folder = "candle/Data/Images"
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv/1cls.csv").write_text(
        "object,split, label,image,mask\n"
        f"candle,train,normal,{folder}/Normal/000.JPG,\n"
        f"candle,test,anomaly,{folder}/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png\n"
        f"candle,test,normal,{folder}/Normal/999.JPG,\n"
        "pcb1,train,normal,pcb1/Data/Images/Normal/000.JPG,\n"
        "pcb1,train,normal,pcb1/Data/Images/Normal/001.JPG,\n"
    )
    data = read_data(tmp_path)
    assert {name.removeprefix(folder): row[1] for name, row in rows(data).items()} == {
        "/Normal/000.JPG": "train",
        "/Normal/001.JPG": None,
        "/Anomaly/000.JPG": "test",
    }
    assert data.problems == (
        f"{folder}/Normal/999.JPG: named by split_csv/1cls.csv, but there is no such image",
        "pcb1: a class of split_csv/1cls.csv that is not here",
        f"{folder}/Normal/001.JPG: not in split_csv/1cls.csv; in no split",
    )


# meta.json


def meta(root, **splits):
    (root / "meta.json").write_text(json.dumps(splits))


def item(img, anomaly=0, mask="", specie="good"):
    return {"img_path": img, "mask_path": mask, "cls_name": "nut", "specie_name": specie, "anomaly": anomaly}


def test_meta_json_says_everything(tmp_path):
    images(tmp_path, "a/1.png", "b/2.png", "c/2.png")
    meta(tmp_path, train={"nut": [item("a/1.png")]}, test={"nut": [item("b/2.png", 1, "c/2.png", "bent")]})
    data = read_data(tmp_path)
    assert (data.layout, data.problems) == ("meta-json", ())
    assert rows(data) == {
        "a/1.png": ("nut", "train", False, None, None),
        "b/2.png": ("nut", "test", True, "bent", "c/2.png"),
    }


def test_meta_json_never_leads_out_of_the_folder(tmp_path):
    root = tmp_path / "set"
    outside = image(tmp_path / "secret.png")
    image(root / "1.png")
    image(root / "2.png")
    entries = [
        item("1.png"),
        item("../secret.png"),
        item(str(outside)),
        item("x/../../secret.png"),
        item("gone.png"),
        item("2.png", 1, "../secret.png"),
        item("2.png", "maybe"),
        {"anomaly": 0},
        "2.png",
    ]
    meta(root, test={"nut": entries})
    data = read_data(root)
    assert list(rows(data)) == ["1.png", "2.png"]
    assert data.samples[1].mask is None
    assert [line.split(": ", 1)[0] + ": " + line.rsplit(": ", 1)[1] for line in data.problems] == [
        "meta.json: '../secret.png' leads out of the data folder; left out",
        f"meta.json: {str(outside)!r} leads out of the data folder; left out",
        "meta.json: 'x/../../secret.png' leads out of the data folder; left out",
        "meta.json: there is no image 'gone.png'; left out",
        "2.png: there is no mask '../secret.png' in the data folder",
        "meta.json: anomaly of 2.png is neither 0 nor 1; left out",
        "meta.json: img_path is missing; left out",
        "meta.json: img_path is missing; left out",
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"train": []}', '{"test": {"a": 1}}', "{}", "[" * 100_000])
def test_meta_json_of_another_form_is_one_error(tmp_path, text):
    image(tmp_path / "1.png")
    (tmp_path / "meta.json").write_text(text)
    with pytest.raises(DataError, match=r"meta\.json"):
        read_data(tmp_path)


# feedback


def test_feedback_labels_units_and_lines(tmp_path):
    images(tmp_path, *(f"frames/{n}.png" for n in range(5)), "frames/6.jpg")
    (tmp_path / "feedback.csv").write_text(
        "file,unit,line,ts,label\n0.png,7,press,,ok\n1.png,7,press,,OK\n2.png,,press,,anomaly\n6.jpg,7,weld,,unsure\n"
        "gone.png,1,press,,ok\n../x.png,1,press,,ok\n2.png,,press,,ok\n",
        encoding="utf-8-sig",
    )
    data = read_data(tmp_path)
    assert data.layout == "feedback"
    assert [(s.path.name, s.label, s.class_name, s.unit) for s in data.samples] == [
        ("0.png", False, "press", "press/7"),
        ("1.png", False, "press", "press/7"),
        ("2.png", True, "press", "frames/2.png"),
        ("6.jpg", None, "weld", "weld/7"),
    ]
    assert data.problems == (
        "gone.png: named by feedback.csv, but there is no such image in frames/",
        "../x.png: named by feedback.csv, but there is no such image in frames/",
        "frames/2.png: a second row in feedback.csv; the first one counts",
        "frames: no place in the layout feedback; images left out: 2",
    )


@pytest.mark.parametrize("text", [b"", b"file,label\n", b"\xff\xfe", b'file,unit,line,ts,label\n"' + b"x" * 200_000])
def test_a_broken_list_is_one_error(tmp_path, text):
    image(tmp_path / "frames/1.png")
    (tmp_path / "feedback.csv").write_bytes(text)
    with pytest.raises(DataError, match=r"feedback\.csv"):
        read_data(tmp_path)


# units


def test_units_from_the_name_lie_within_a_class(tmp_path):
    images(tmp_path, "a/train/good/p1_1.png", "a/train/good/p1_2.png", "b/train/good/p1_1.png")
    data = read_data(tmp_path, unit_from=r"p(\d+)_")
    assert [s.unit for s in data.samples] == ["a/1", "a/1", "b/1"]
    assert [s.unit for s in read_data(tmp_path, unit_from=r"p\d+").samples] == ["a/p1", "a/p1", "b/p1"]


@pytest.mark.parametrize("pattern", [r"q\d", r"(q)?p", r"x*", "("])
def test_a_name_without_a_unit_and_an_invalid_expression_are_errors(tmp_path, pattern):
    image(tmp_path / "p1.png")
    with pytest.raises(DataError, match="--unit-from"):
        read_data(tmp_path, unit_from=pattern)


def test_units_from_folders(tmp_path):
    images(tmp_path, "good/part1/1.png", "good/part1/2.png", "good/part2/1.png")
    assert [s.unit for s in read_data(tmp_path, unit_from="folder").samples] == ["good/part1"] * 2 + ["good/part2"]


def collected(root):
    images(root, "good/press-00001.png", "good/press-00002.png", "bad/press-00003.png", "bad/other.png")
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
    image(tmp_path / "good/1.png")
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


# any folder


def test_a_named_layout_and_what_does_not_fit(tmp_path):
    images(tmp_path, "kos01/Part0.jpg", "kos02/Part0.jpg")
    with pytest.raises(DataError, match=r"test/<kind>.*--layout"):
        read_data(tmp_path)
    with pytest.raises(DataError, match="visa"):
        read_data(tmp_path, layout="visa")
    with pytest.raises(ConfigError, match="meta-json"):
        read_data(tmp_path, layout="coco")
    with pytest.raises(DataError, match="no such folder"):
        read_data(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        read_data(tmp_path / "empty")


def test_a_list_beats_folders_unless_a_layout_is_named(tmp_path):
    mvtec(tmp_path)
    meta(tmp_path, train={"nut": [item("train/good/000.png")]})
    assert read_data(tmp_path).layout == "meta-json"
    assert len(read_data(tmp_path, layout="mvtec").samples) == 5
    assert list(rows(read_data(tmp_path, layout="plain"))) == ["train/good/000.png", "train/good/001.png"]


def test_links_lead_nowhere_else(tmp_path):
    outside = image(tmp_path / "outside/1.png")
    root = tmp_path / "set"
    image(root / "good/1.png")
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
    assert list(rows(data)) == ["good/1.png"]
    assert data.problems == (
        "good/a.png: a link that leads out of the data folder; left out",
        "good/b.png: a link to nothing; left out",
        "good/c: a link to a folder; left out",
        "good/d: a link that leads out of the data folder; left out",
        "good/e.png: a link to nothing; left out",
        "good/f.png: left out, same bytes as good/1.png",
    )


def test_a_list_that_is_a_link_out_is_refused(tmp_path):
    (tmp_path / "meta.json").write_text("{}")
    image(tmp_path / "set/1.png")
    (tmp_path / "set/meta.json").symlink_to(tmp_path / "meta.json")
    with pytest.raises(DataError, match="leads out"):
        read_data(tmp_path / "set")


def test_names_that_cannot_be_written_and_pipes_are_passed_over(tmp_path):
    image(tmp_path / "1.png")
    (tmp_path / "two\nlines.png").write_bytes(b"x")
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb") as stream:  # noqa: PTH123
        stream.write(b"x")
    os.mkfifo(tmp_path / "pipe.png")
    data = read_data(tmp_path)
    assert list(rows(data)) == ["1.png"]
    assert len(data.problems) == 2
    assert all("\n" not in line and line.encode() for line in data.problems)


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    images(tmp_path, "1.png", "2.png", "3.png")
    monkeypatch.setattr(tree_module, "MAX_FILES", 2)
    with pytest.raises(DataError, match="more than 2 files"):
        read_data(tmp_path)


def test_the_digest_does_not_depend_on_where_the_set_lies(tmp_path):
    for name in ("a", "b"):
        for seed in range(3):
            image(tmp_path / name / f"good/{seed}.png", seed)
    one, other = (read_data(tmp_path / name) for name in ("a", "b"))
    assert data_sha256(one.samples) == data_sha256(other.samples)


def test_no_masks_and_no_images_make_no_pairs():
    assert pair_masks([], {}, {}) == ([], [])


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
    assert data.problems == (extra if folder == "cookie" else ())
