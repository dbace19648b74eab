"""Real-IAD as it is downloaded: JSON lists a class, images of five views a part.

    realiad_jsons/[realiad_jsons/]CLASS.json    {"meta": {"prefix", "normal_class"}, "train": [...], "test": [...]}
    [realiad_1024/]CLASS/OK/SNNNN/*.jpg         CLASS/NG/KIND/SNNNN/*.jpg, with masks (*.png) beside them

A folder SNNNN is one part and so one unit: its views are not independent. The list's `anomaly_class` is a view's label.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from calibrate.datasets.json_items import object_items
from calibrate.datasets.sample import Entry, Problem, Reading, Split
from calibrate.datasets.tree import Tree, folders
from calibrate.errors import DataError

_LISTS = re.compile(r"realiad_jsons\w*(\.\d+)?", re.IGNORECASE)
_IMAGES = re.compile(r"realiad_\d+", re.IGNORECASE)
_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}


@dataclass(frozen=True)
class ListedClass:
    """A class's list; prefix: the folder of its images as the list has it; normal: the word for a normal view."""

    path: Path
    prefix: str
    normal: str


def matches(tree: Tree) -> bool:
    """True with lists in a folder realiad_jsons."""
    return bool(_list_folders(tree.root))


def read(tree: Tree) -> Reading:
    """Raises DataError for a list of another form, and where several splits or sizes of images lie side by side."""
    images = frozenset(tree.images)
    base = _image_folder(tree)
    entries: list[Entry] = []
    masks: set[str] = set()
    problems: list[Problem] = []
    for path in sorted(_lists(tree.root).glob("*.json")):
        listed, gone, unmasked = read_class(path), 0, 0
        for entry in class_entries(listed, base):
            if entry.file not in images:
                gone += 1
            elif entry.mask is None:
                entries.append(entry)
            elif entry.mask in images:
                entries.append(entry)
                masks.add(entry.mask)
            else:
                unmasked += 1
                entries.append(replace(entry, mask=None))
        name = path.relative_to(tree.root).as_posix()
        if gone:
            problems.append(Problem("list", name, f"{gone} images that it names are not here"))
        if unmasked:
            problems.append(Problem("mask", name, f"{unmasked} masks that it names are not here"))
    return Reading(tuple(entries), frozenset(masks), tuple(problems))


def read_class(path: Path) -> ListedClass:
    """What a list says of itself. Raises DataError."""
    for key, value in object_items(path):
        if key == "meta" and isinstance(value, dict):
            prefix, normal = value.get("prefix", f"{path.stem}/"), value.get("normal_class", "OK")
            if isinstance(prefix, str) and isinstance(normal, str):
                return ListedClass(path, prefix, normal)
    raise DataError(f"{path}: meta: missing, or without a prefix and a normal_class")


def class_entries(listed: ListedClass, base: str = "") -> Iterator[Entry]:
    """The list's entries one by one; `base`: folder that the prefix lies in. Raises DataError."""
    for key, item in object_items(listed.path):
        if key in _SPLITS:
            yield _entry(listed, base, item, _SPLITS[key])


def _entry(listed: ListedClass, base: str, item: object, split: Split) -> Entry:
    texts = {k: v for k, v in item.items() if isinstance(v, str)} if isinstance(item, dict) else {}
    if not {"image_path", "anomaly_class"} <= set(texts):
        raise DataError(f"{listed.path}: {split}: an entry without image_path or anomaly_class")
    file, label = _placed(listed, base, texts["image_path"]), texts["anomaly_class"] != listed.normal
    mask = _placed(listed, base, texts["mask_path"]) if label and texts.get("mask_path") else None
    unit = f"{listed.path.stem}/{posixpath.dirname(texts['image_path'])}"
    return Entry(file, label, listed.path.stem, split, texts["anomaly_class"] if label else None, mask, unit)


def _placed(listed: ListedClass, base: str, named: str) -> str:
    # Not pathlib: it keeps every part of every path that it has seen.
    path = posixpath.normpath(posixpath.join(base, listed.prefix, named))
    if path.startswith(("/", "../")) or path == "..":
        raise DataError(f"{listed.path}: {named!r} leads out of the data folder")
    return path


def _list_folders(root: Path) -> list[Path]:
    found = []
    for folder in (root, *(p for p in root.iterdir() if p.is_dir() and _LISTS.fullmatch(p.name))):
        found += [p for p in folder.iterdir() if p.is_dir() and _LISTS.fullmatch(p.name) and any(p.glob("*.json"))]
    return sorted(found)


def _lists(root: Path) -> Path:
    """The whole multi-view split where there is one, else the only one."""
    found = _list_folders(root)
    whole = [p for p in found if p.name.casefold() == "realiad_jsons"]
    if len(whole) == 1 or len(found) == 1:
        return (whole or found)[0]
    names = ", ".join(p.name for p in found) or "none"
    raise DataError(f"{root}: several splits of Real-IAD ({names}) and no realiad_jsons; leave the one to be read")


def _image_folder(tree: Tree) -> str:
    """Where the classes lie: a folder realiad_1024 or the like, or the data folder itself."""
    sizes = sorted({folders(f)[0] for f in tree.images if folders(f) and _IMAGES.fullmatch(folders(f)[0])})
    if len(sizes) > 1:
        raise DataError(f"{tree.root}: images of several sizes ({', '.join(sizes)}); leave the one to be read")
    return sizes[0] if sizes else ""
