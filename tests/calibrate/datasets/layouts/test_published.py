"""Public data sets in the layout of their original downloads: small trees, recognised by themselves, read whole."""

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calibrate.datasets import read_data
from calibrate.datasets.json_items import object_items
from calibrate.datasets.layouts.real_iad import class_entries, read_class
from calibrate.datasets.masks import read_mask
from calibrate.errors import DataError
from tests.factories.images import problem_lines, sample_rows, write_image, write_images


@dataclass(frozen=True)
class Published:
    """A set as it is unpacked. files: images; empty: black masks; texts: name -> content; rows: some of what is read.

    counts: (split, label) -> images; units: how many.
    """

    layout: str
    files: tuple[str, ...]
    rows: dict[str, tuple]
    counts: dict[tuple, int]
    units: int
    empty: tuple[str, ...] = ()
    texts: dict[str, str] = field(default_factory=dict)


def views(folder, name, split, label="OK", mask=False):
    """Two of the five views of a part, as Real-IAD lists them."""
    return [
        {
            "category": "usb",
            "anomaly_class": label,
            "image_path": f"{folder}/usb_{name}_C{view}_2023.jpg",
            "mask_path": f"{folder}/usb_{name}_C{view}_2023.png" if mask else None,
        }
        for view in (1, 2)
    ]


USB = {
    "meta": {"pre_transform": None, "prefix": "usb/", "normal_class": "OK"},
    "train": views("OK/S0001", "0001_OK", "train"),
    "test": [*views("OK/S0002", "0002_OK", "test"), *views("NG/AK/S0003", "0003_NG_AK", "test", "AK", mask=True)],
}
USB_FILES = tuple(
    f"realiad_256/usb/{one}"
    for part in ("train", "test")
    for entry in USB[part]
    for one in (entry["image_path"], entry["mask_path"])
    if one
)
SETS = {
    "MVTec AD": Published(
        "mvtec",
        (
            *("bottle/train/good/000.png", "bottle/test/good/000.png", "bottle/test/broken_large/000.png"),
            "bottle/ground_truth/broken_large/000_mask.png",
        ),
        {
            "bottle/test/broken_large/000.png": (
                *("bottle", "test", True, "broken_large"),
                "bottle/ground_truth/broken_large/000_mask.png",
            )
        },
        {("train", False): 1, ("test", False): 1, ("test", True): 1},
        3,
        texts={"bottle/license.txt": "CC", "bottle/readme.txt": "x"},
    ),
    "VisA": Published(
        "visa",
        (
            *("candle/Data/Images/Normal/0000.JPG", "candle/Data/Images/Normal/0001.JPG"),
            *("candle/Data/Images/Anomaly/000.JPG", "candle/Data/Masks/Anomaly/000.png"),
        ),
        {
            "candle/Data/Images/Anomaly/000.JPG": (
                "candle",
                "test",
                True,
                "Anomaly",
                "candle/Data/Masks/Anomaly/000.png",
            )
        },
        {("train", False): 1, ("test", False): 1, ("test", True): 1},
        3,
        texts={
            "candle/image_anno.csv": "image,label,mask\n",
            "split_csv/1cls.csv": "object,split,label,image,mask\n"
            "candle,train,normal,candle/Data/Images/Normal/0000.JPG,\n"
            "candle,test,normal,candle/Data/Images/Normal/0001.JPG,\n"
            "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png\n",
        },
    ),
    "MPDD": Published(
        "mvtec",
        (
            *("metal_plate/train/good/000.png", "metal_plate/test/good/000.png"),
            *("metal_plate/test/major_rust/000.png", "metal_plate/ground_truth/major_rust/000_mask.png"),
        ),
        {
            "metal_plate/test/major_rust/000.png": (
                *("metal_plate", "test", True, "major_rust"),
                "metal_plate/ground_truth/major_rust/000_mask.png",
            )
        },
        {("train", False): 1, ("test", False): 1, ("test", True): 1},
        3,
    ),
    "BTAD": Published(
        "mvtec",
        (
            *("01/train/ok/0000.bmp", "01/test/ok/0001.bmp", "01/test/ko/0000.bmp", "01/ground_truth/ko/0000.png"),
            *("02/train/ok/0000.png", "02/test/ko/0007.png", "02/ground_truth/ko/0007.png"),
        ),
        {
            "01/test/ko/0000.bmp": ("01", "test", True, "ko", "01/ground_truth/ko/0000.png"),
            "02/train/ok/0000.png": ("02", "train", False, None, None),
        },
        {("train", False): 2, ("test", False): 1, ("test", True): 2},
        5,
    ),
    "KolektorSDD": Published(
        "kolektor",
        ("kos01/Part0.jpg", "kos01/Part1.jpg", "kos01/Part1_label.bmp", "kos02/Part0.jpg", "kos02/Part1.jpg"),
        {
            "kos01/Part0.jpg": ("all", None, False, None, None),
            "kos01/Part1.jpg": ("all", None, True, "defect", "kos01/Part1_label.bmp"),
        },
        {(None, False): 3, (None, True): 1},
        2,
        empty=("kos01/Part0_label.bmp", "kos02/Part0_label.bmp", "kos02/Part1_label.bmp"),
    ),
    "DAGM": Published(
        "dagm",
        (
            *("Class1/Train/0001.PNG", "Class1/Train/0576.PNG", "Class1/Train/Label/0576_label.PNG"),
            *("Class1/Test/0002.PNG", "Class10/Test/0003.PNG", "Class10/Test/Label/0003_label.PNG"),
        ),
        {
            "Class1/Train/0576.PNG": ("Class1", "train", True, "defect", "Class1/Train/Label/0576_label.PNG"),
            "Class1/Test/0002.PNG": ("Class1", "test", False, None, None),
            "Class10/Test/0003.PNG": ("Class10", "test", True, "defect", "Class10/Test/Label/0003_label.PNG"),
        },
        {("train", False): 1, ("train", True): 1, ("test", False): 1, ("test", True): 1},
        4,
        texts={"Class1/Train/Label/Labels.txt": "1 1 0576.PNG 0 0576_label.PNG\n"},
    ),
    "DTD-Synthetic": Published(
        "mvtec",
        (
            *("Woven_001/train/good/001.png", "Woven_001/test/good/001.png", "Woven_001/test/bad/002.png"),
            "Woven_001/ground_truth/bad/002_mask.png",
        ),
        {"Woven_001/test/bad/002.png": ("Woven_001", "test", True, "bad", "Woven_001/ground_truth/bad/002_mask.png")},
        {("train", False): 1, ("test", False): 1, ("test", True): 1},
        3,
    ),
    "Real-IAD": Published(
        "real-iad",
        USB_FILES,
        {
            "realiad_256/usb/NG/AK/S0003/usb_0003_NG_AK_C1_2023.jpg": (
                *("usb", "test", True, "AK"),
                "realiad_256/usb/NG/AK/S0003/usb_0003_NG_AK_C1_2023.png",
            ),
            "realiad_256/usb/OK/S0001/usb_0001_OK_C2_2023.jpg": ("usb", "train", False, None, None),
        },
        {("train", False): 2, ("test", False): 2, ("test", True): 2},
        3,
        texts={
            "realiad_jsons/realiad_jsons/usb.json": json.dumps(USB),
            "realiad_jsons/realiad_jsons_sv/usb.json": "not read",
        },
    ),
    "HeadCT": Published(
        "head-ct",
        ("head_ct/head_ct/000.png", "head_ct/head_ct/001.png", "head_ct/head_ct/100.png"),
        {
            "head_ct/head_ct/001.png": ("all", None, True, "hemorrhage", None),
            "head_ct/head_ct/100.png": ("all", None, False, None, None),
        },
        {(None, True): 2, (None, False): 1},
        3,
        texts={"labels.csv": "id, hemorrhage\n0,1\n1,1\n100,0\n"},
    ),
    "BrainMRI": Published(
        "yes-no",
        ("yes/Y1.jpg", "yes/Y2.JPG", "no/1 no.jpeg", "no/N3.jpg"),
        {"yes/Y2.JPG": ("all", None, True, "yes", None), "no/1 no.jpeg": ("all", None, False, None, None)},
        {(None, True): 2, (None, False): 2},
        4,
    ),
    "Br35H": Published(
        "yes-no",
        ("yes/y0.jpg", "yes/y1.jpg", "no/no0.jpg", "pred/pred0.jpg", "Br35H-Mask-RCNN/TRAIN/y2.jpg"),
        {"yes/y0.jpg": ("all", None, True, "yes", None), "pred/pred0.jpg": ("all", None, None, None, None)},
        {(None, True): 2, (None, False): 1, (None, None): 1},
        4,
        texts={"Br35H-Mask-RCNN/annotations_all.json": "{}"},
    ),
    "ISIC 2016": Published(
        "image-mask",
        (
            *("ISBI2016_ISIC_Part1_Test_Data/ISIC_0000003.jpg", "ISBI2016_ISIC_Part1_Training_Data/ISIC_0000000.jpg"),
            "ISBI2016_ISIC_Part1_Test_GroundTruth/ISIC_0000003_Segmentation.png",
            "ISBI2016_ISIC_Part1_Training_GroundTruth/ISIC_0000000_Segmentation.png",
        ),
        {
            "ISBI2016_ISIC_Part1_Test_Data/ISIC_0000003.jpg": (
                *("all", "test", True, None),
                "ISBI2016_ISIC_Part1_Test_GroundTruth/ISIC_0000003_Segmentation.png",
            )
        },
        {("train", True): 1, ("test", True): 1},
        2,
    ),
    "CVC-ColonDB": Published(
        "image-mask",
        ("images/1.png", "images/2.png", "masks/1.png", "masks/2.png"),
        {"images/2.png": ("all", None, True, None, "masks/2.png")},
        {(None, True): 2},
        2,
    ),
    "CVC-ClinicDB": Published(
        "image-mask",
        ("Original/1.tif", "Original/2.tif", "Ground Truth/1.tif", "Ground Truth/2.tif"),
        {"Original/2.tif": ("all", None, True, None, "Ground Truth/2.tif")},
        {(None, True): 2},
        2,
    ),
    "CVC-ClinicDB in two formats": Published(
        "image-mask",
        tuple(
            f"{kind.upper()}/{f}/{n}.{kind}"
            for kind in ("png", "tif")
            for f in ("Original", "Ground Truth")
            for n in (1, 2)
        ),
        {"PNG/Original/2.png": ("PNG", None, True, None, "PNG/Ground Truth/2.png")},
        {(None, True): 2},
        2,
        texts={"metadata.csv": "frame_id,sequence_id\n"},
    ),
    "Kvasir": Published(
        "image-mask",
        ("images/cju0.jpg", "masks/cju0.jpg"),
        {"images/cju0.jpg": ("all", None, True, None, "masks/cju0.jpg")},
        {(None, True): 1},
        1,
        texts={"kavsir_bboxes.json": "{}"},
    ),
    "EndoTect": Published(
        "image-mask",
        ("images/a.jpg", "images/b.jpg", "masks/a.jpg", "masks/b.jpg"),
        {"images/b.jpg": ("all", None, True, None, "masks/b.jpg")},
        {(None, True): 2},
        2,
    ),
    "TN3K": Published(
        "image-mask",
        ("test-image/0000.jpg", "test-mask/0000.jpg", "trainval-image/0000.jpg", "trainval-mask/0000.jpg"),
        {
            "test-image/0000.jpg": ("all", "test", True, None, "test-mask/0000.jpg"),
            "trainval-image/0000.jpg": ("all", "train", True, None, "trainval-mask/0000.jpg"),
        },
        {("train", True): 1, ("test", True): 1},
        2,
        texts={"tn3k-trainval-fold0.json": "{}"},
    ),
}


def unpack(root, one):
    write_images(root, *one.files)
    for name in one.empty:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 12)).save(root / name)
    for name, text in one.texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("name", SETS)
def test_a_set_as_it_is_downloaded(tmp_path, name):
    one = SETS[name]
    root = unpack(tmp_path, one)
    data = read_data(root)
    assert data.layout == one.layout
    assert Counter((s.split, s.label) for s in data.samples) == one.counts
    assert len({s.unit for s in data.samples}) == one.units
    rows = sample_rows(data)
    assert {file: rows[file] for file in one.rows} == one.rows
    named = read_data(root, layout=one.layout)
    assert (named.samples, named.problems) == (data.samples, data.problems)
    assert all("not used" not in line or "same images" in line for line in problem_lines(data))


def test_the_views_of_a_part_are_one_unit(tmp_path):
    data = read_data(unpack(tmp_path, SETS["Real-IAD"]))
    assert {s.unit for s in data.samples if s.label} == {"usb/NG/AK/S0003"}


def test_brain_mri_twice_is_read_once(tmp_path):
    for seed, name in enumerate(("yes/Y1.jpg", "no/N1.jpg", "no/N2.jpg")):
        write_image(tmp_path / name, seed)
        write_image(tmp_path / "brain_tumor_dataset" / name, seed)
    data = read_data(tmp_path)
    assert Counter(s.label for s in data.samples) == {True: 1, False: 2}
    assert {p.kind for p in data.problems} == {"copy"}


def nearly(root, *names, **texts):
    write_images(root, *names)
    for name, text in texts.items():
        (root / name.replace("__", ".")).write_text(text)
    return root


@pytest.mark.parametrize(
    ("names", "texts", "why"),
    [
        (("a.png", "b.png", "c.png"), {"labels__csv": "file,x\na.png,1\n"}, "labels.csv may say which images are"),
        (("a.png", "b.png"), {"list__csv": "file,diagnosis\na.png,1\n"}, "list.csv may say which images are"),
        (("good/1.png", "bad/2.png", "Label/2_label.png"), {}, "Label/2_label.png looks like a mask"),
        (("test/good/1.png", "test/cut/2.png", "test/Marks/2_mask.png"), {}, "2_mask.png looks like a mask"),
        (("train/good/1.png", "other/1.png", "other/2.png"), {}, "2 of 3 images would be left out, 2 of them in other"),
    ],
)
def test_what_is_only_nearly_a_layout_is_refused(tmp_path, names, texts, why):
    root = nearly(tmp_path, *names, **texts)
    with pytest.raises(DataError, match=r"looks like the layout (\w+), but .*--layout \1 takes it as it is") as error:
        read_data(root)
    assert why in str(error.value)
    layout = "mvtec" if (root / "test").is_dir() else "plain"
    assert read_data(root, layout=layout).samples


def test_faults_of_a_set_are_named(tmp_path):
    ct = unpack(tmp_path / "ct", SETS["HeadCT"])
    (ct / "labels.csv").write_text("id, hemorrhage\n0,1\n7,0\nx,1\n100,2\n")
    assert problem_lines(read_data(ct)) == (
        "labels.csv: id 'x' with '1': need a number with 0 or 1; left out",
        "labels.csv: id '100' with '2': need a number with 0 or 1; left out",
        "head_ct/head_ct/001.png: not in labels.csv, so nobody says what it is",
        "head_ct/head_ct/100.png: not in labels.csv, so nobody says what it is",
        "7: named by labels.csv, but there is no such image",
    )
    dagm = unpack(tmp_path / "dagm", SETS["DAGM"])
    (dagm / "Class1/Train/0576.PNG").unlink()
    assert "Class1/Train/Label/0576_label.PNG: a label of an image that is not here; not used" in problem_lines(
        read_data(dagm)
    )
    colon = unpack(tmp_path / "colon", SETS["CVC-ColonDB"])
    (colon / "masks/2.png").unlink()
    data = read_data(colon)
    assert {s.path.name: s.label for s in data.samples} == {"1.png": True, "2.png": None}
    assert problem_lines(data)[0] == "images/2.png: no mask in masks, so nobody says what it is"
    kos = unpack(tmp_path / "kos", SETS["KolektorSDD"])
    (kos / "kos02/Part0_label.bmp").unlink()
    assert {s.path.name: s.label for s in read_data(kos).samples if "kos02" in s.unit} == {
        "Part0.jpg": None,
        "Part1.jpg": False,
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"train": []}',
        '{"meta": {"prefix": 3}}',
        '{"meta": {"prefix": "usb/", "normal_class": "OK"}, "test": [{"image_path": "a.jpg"}]}',
        '{"meta": {"prefix": "../../..", "normal_class": "OK"}, "test": [{"image_path": "a", "anomaly_class": ""}]}',
        '{"meta": {"prefix": "usb/", "normal_class": "OK"}, "test": [1 2]}',
        '{"meta": {"prefix": "usb/", "normal_class": "OK"}, "test": ["' + "x" * (3 << 20) + '"]}',
    ],
)
def test_a_broken_list_of_real_iad_is_one_error(tmp_path, text):
    root = unpack(tmp_path, SETS["Real-IAD"])
    (root / "realiad_jsons/realiad_jsons/usb.json").write_text(text)
    with pytest.raises(DataError, match=r"usb\.json: ") as error:
        read_data(root)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_two_sizes_or_splits_of_real_iad_are_not_mixed(tmp_path):
    root = unpack(tmp_path, SETS["Real-IAD"])
    write_image(root / "realiad_1024/usb/OK/S0001/usb_0001_OK_C1_2023.jpg")
    with pytest.raises(DataError, match=r"images of several sizes \(realiad_1024, realiad_256\)"):
        read_data(root)
    (root / "realiad_1024").rename(root / "other")
    (root / "realiad_jsons/realiad_jsons").rename(root / "realiad_jsons/realiad_jsons_fuiad_0.1")
    with pytest.raises(DataError, match=r"several splits of Real-IAD"):
        read_data(root)


def resident():
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_hundred_thousand_entries_take_the_memory_of_a_few(tmp_path):
    """Kept, they would take some 35 MB."""
    path, one = tmp_path / "usb.json", json.dumps(views("OK/S?", "?_OK", "train")[0])
    entries = ",".join(one.replace("?", f"{number:05}") for number in range(100_000))
    path.write_text('{"meta": {"prefix": "usb/", "normal_class": "OK"}, "train": [' + entries + '], "test": []}')
    del entries
    listed = read_class(path)
    before, most, units = resident(), 0, 0
    for entry in class_entries(listed):
        units += entry.unit == f"usb/OK/S{units:05}"
        if units % 5000 == 0:
            most = max(most, resident())
    assert units == 100_000
    assert most - before < 10 << 20


def test_items_of_every_json_are_those_of_a_whole_parser(tmp_path):
    """Chunks may end inside a number, a string or an escape."""
    rng = np.random.default_rng(3)
    values = [
        [{"a": float(rng.normal()), "b": '\u00e9\\"x' * int(rng.integers(0, 9000))}, 12345, None] for _ in range(40)
    ]
    whole = {"one": values, "two": [], "three": {"k": [1, 2]}, "four": 7}
    path = tmp_path / "x.json"
    path.write_text(json.dumps(whole, ensure_ascii=False, indent=1), encoding="utf-8")
    found = list(object_items(path))
    assert found == [*(("one", v) for v in values), ("three", {"k": [1, 2]}), ("four", 7)]


def test_a_mask_in_jpeg_is_white_where_it_is_white(tmp_path):
    true = np.zeros((64, 64), np.uint8)
    true[20:44, 16:50] = 255
    Image.fromarray(true).save(tmp_path / "m.jpg", quality=70)
    Image.fromarray(true).save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.jpg") == read_mask(tmp_path / "m.png")).all()
