"""Why a folder that was recognised may still be something else: what nobody named is never half read.

Whoever names the layout with --layout gets what it makes of the folder, with notes on the rest.
"""

from __future__ import annotations

import re
from collections import Counter

from calibrate.datasets.label_names import NORMAL
from calibrate.datasets.sample import Reading
from calibrate.datasets.tables import read_table
from calibrate.datasets.tree import Tree, folders, stem
from calibrate.datasets.units import COLLECT_FILE
from calibrate.errors import DataError

LISTS = frozenset({"feedback", "meta-json", "real-iad"})
"""Layouts that say of every image what it is."""
_MASK_ENDINGS = ("_mask", "_label", "_segmentation", "_gt", "_groundtruth")
_LABEL_WORDS = re.compile(r"label|annot|ground.?truth|defect|anomal|class|target|diagnos|hemorrhage", re.IGNORECASE)
_TABLES = frozenset({".csv", ".tsv", ".txt", ".json", ".xlsx"})


def doubt(tree: Tree, layout: str, reading: Reading) -> str | None:
    """What speaks against the layout, in a few words; None where nothing does."""
    if layout in LISTS:
        return None
    return _masks_as_images(reading) or _more_left_out(tree, reading) or _labels_unread(tree, reading)


def _masks_as_images(reading: Reading) -> str | None:
    names = {stem(entry.file).casefold() for entry in reading.entries}
    for entry in reading.entries:
        name = stem(entry.file).casefold()
        if any(name.endswith(e) and name.removesuffix(e) in names for e in _MASK_ENDINGS):
            return f"{entry.file} looks like a mask and would be read as an image"
    return None


def _more_left_out(tree: Tree, reading: Reading) -> str | None:
    used = {entry.file for entry in reading.entries} | reading.masks
    rest = [f for f in tree.images if f not in used]
    # Copies of a layout in another format are no sign of another one.
    told = tuple(f"{p.file}/" for p in reading.problems if p.kind == "copy")
    rest = [f for f in rest if not f.startswith(told)] if told else rest
    if len(rest) <= len(used):
        return None
    folder, count = Counter("/".join(folders(f)) or "." for f in rest).most_common(1)[0]
    return f"{len(rest)} of {len(tree.images)} images would be left out, {count} of them in {folder}"


def _labels_unread(tree: Tree, reading: Reading) -> str | None:
    """Images that no folder calls normal, beside a list that may say what they are."""
    if any(entry.label is not False for entry in reading.entries):
        return None
    if any(part.casefold() in NORMAL for entry in reading.entries for part in folders(entry.file)):
        return None
    for path in sorted(p for p in tree.root.iterdir() if p.suffix.casefold() in _TABLES and p.is_file()):
        if path.name != COLLECT_FILE and (_LABEL_WORDS.search(path.stem) or _has_labels(tree, path.name)):
            return f"{path.name} may say which images are anomalous, and all would be read as normal"
    return None


def _has_labels(tree: Tree, name: str) -> bool:
    if not name.casefold().endswith(".csv"):
        return False
    try:
        rows = read_table(tree.root, name, ())
    except DataError:
        return False
    return any(_LABEL_WORDS.search(column) for column in (rows[0] if rows else {}))
