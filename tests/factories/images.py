"""Image files and data sets on disk, in the layouts that calibrate reads, and what was read of them."""

import io
import json
import struct
import zlib

import numpy as np
from PIL import Image


def write_image(path, seed=None, size=(16, 12)):
    """A small image that no other path has, or the one of `seed`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = zlib.crc32(str(path).encode()) if seed is None else seed
    pixels = np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_images(root, *names):
    """One image that no other path has at each of `names` below `root`."""
    for name in names:
        write_image(root / name)


def mvtec_tree(root):
    """A class in MVTec's layout: two normal images in train, one in test, and two anomalous ones with masks."""
    write_images(
        root,
        "train/good/000.png",
        "train/good/001.png",
        "test/good/000.png",
        "test/broken/9.png",
        "test/broken/10.png",
        "ground_truth/broken/10_mask.png",
        "ground_truth/broken/9_mask.png",
    )


def visa_tree(root):
    """A class in VisA's layout."""
    write_images(
        root,
        "candle/Data/Images/Normal/000.JPG",
        "candle/Data/Images/Normal/001.JPG",
        "candle/Data/Images/Anomaly/000.JPG",
        "candle/Data/Masks/Anomaly/000.png",
    )


def write_meta(root, **splits):
    """meta.json with these splits."""
    (root / "meta.json").write_text(json.dumps(splits))


def meta_item(img, anomaly=0, mask="", specie="good"):
    """One entry of meta.json."""
    return {"img_path": img, "mask_path": mask, "cls_name": "nut", "specie_name": specie, "anomaly": anomaly}


def sample_rows(data):
    """{file: (class, split, label, kind, mask)} with paths relative to the folder."""

    def name(path):
        return None if path is None else path.relative_to(data.root).as_posix()

    return {name(s.path): (s.class_name, s.split, s.label, s.kind, name(s.mask)) for s in data.samples}


def problem_lines(data):
    """What a reader reported, one line each."""
    return tuple(str(problem) for problem in data.problems)


def tiff_one_bit_palette(marks, off, on):
    """A TIFF of bool (H,W) with one bit a pixel, of two colours."""
    pixels = np.packbits(marks, axis=1).tobytes()
    table = np.array([[a * 257, b * 257] for a, b in zip(off, on, strict=True)], np.uint16).tobytes()
    start = 8 + 2 + 12 * 10 + 4
    entries = [
        (256, 3, 1, marks.shape[1]), (257, 3, 1, marks.shape[0]), (258, 3, 1, 1), (259, 3, 1, 1), (262, 3, 1, 3),
        (273, 4, 1, start + len(table)), (277, 3, 1, 1), (278, 3, 1, marks.shape[0]), (279, 4, 1, len(pixels)),
        (320, 3, 6, start),
    ]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + b"\0\0\0\0" + table + pixels


def png_palette(marks, off, on, alpha):
    """A PNG of bool (H,W) with a palette of two colours, each with its alpha."""
    image = Image.fromarray(marks.astype(np.uint8), "P")
    image.putpalette([*off, *on])
    out = io.BytesIO()
    image.save(out, "PNG", transparency=alpha)
    return out.getvalue()
