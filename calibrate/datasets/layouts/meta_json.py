"""Lists as AnomalyCLIP writes them, whatever the folders are called.

    meta.json: {"train"|"test": {class: [{img_path, mask_path, cls_name, specie_name, anomaly}, ...]}}

Paths are relative to the data folder; mask_path is "" where there is none; anomaly is 0 or 1.
"""

from __future__ import annotations

import json
from typing import Any

from calibrate.datasets.sample import Entry, Problem, Reading, Split
from calibrate.datasets.tables import inside, read_text
from calibrate.datasets.tree import Tree
from calibrate.errors import DataError

META_FILE = "meta.json"
_SPLITS: tuple[Split, ...] = ("train", "test")


def matches(tree: Tree) -> bool:
    return (tree.root / META_FILE).is_file()


def read(tree: Tree) -> Reading:
    """Entries that name no image of the folder are problems. Raises DataError for a file of another form."""
    lists = _load(tree)
    images = frozenset(tree.images)
    entries: list[Entry] = []
    masks: set[str] = set()
    problems: list[Problem] = []
    for split in _SPLITS:
        for name, items in lists.get(split, {}).items():
            for number, item in enumerate(items, 1):
                try:
                    entry, fault = _entry(tree, images, item, name, split)
                except ValueError as error:
                    detail = f"{split}/{name}, entry {number}: {error}; left out"
                    problems.append(Problem("list", META_FILE, detail))
                    continue
                entries.append(entry)
                problems += [fault] if fault else []
                masks |= {entry.mask} if entry.mask else set()
    return Reading(tuple(entries), frozenset(masks), tuple(problems))


def _load(tree: Tree) -> dict[str, dict[str, list[Any]]]:
    path = tree.root / META_FILE
    try:
        lists = json.loads(read_text(tree.root, META_FILE))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no valid JSON: {error}") from error
    well_formed = isinstance(lists, dict) and all(
        isinstance(classes, dict) and all(isinstance(items, list) for items in classes.values())
        for classes in (lists.get(split, {}) for split in _SPLITS)
    )
    if not well_formed or not any(split in lists for split in _SPLITS):
        raise DataError(f"{path}: must be {{train|test: {{class: [entries]}}}}")
    return dict(lists)


def _entry(tree: Tree, images: frozenset[str], item: object, name: str, split: Split) -> tuple[Entry, Problem | None]:
    """(entry, what is wrong with its mask). Raises ValueError for an item that names no image or no label."""
    if not isinstance(item, dict) or not isinstance(item.get("img_path"), str):
        raise ValueError("img_path is missing")
    file = inside(tree.root, item["img_path"])
    if file is None:
        raise ValueError(f"{item['img_path']!r} leads out of the data folder")
    if file not in images:
        raise ValueError(f"there is no image {item['img_path']!r}")
    if item.get("anomaly") not in (0, 1):
        raise ValueError(f"anomaly of {file} is neither 0 nor 1")
    label = bool(item["anomaly"])
    kind = item.get("specie_name") if label and isinstance(item.get("specie_name"), str) else None
    mask, named = None, item.get("mask_path")
    fault = None
    if label and isinstance(named, str) and named:
        mask = inside(tree.root, named)
        if mask not in images:
            fault = Problem("mask", file, f"there is no mask {named!r} in the data folder")
            mask = None
    return Entry(file, label, name, split, kind, mask), fault
