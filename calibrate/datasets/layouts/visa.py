"""VisA's layout, for one class or a folder of classes.

<class>/Data/Images/{Normal,Anomaly}/*, <class>/Data/Masks/Anomaly/NAME.png
split_csv/1cls.csv: object, split, label, image, mask; where it is, it says what is train and what test
"""

from __future__ import annotations

from dataclasses import replace

from calibrate.datasets.label_names import label_of
from calibrate.datasets.pairs import pair_masks
from calibrate.datasets.sample import Entry, Problem, Reading, Split
from calibrate.datasets.tables import inside, read_table
from calibrate.datasets.tree import Tree, folders

SPLIT_FILE = "split_csv/1cls.csv"
_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}


def matches(tree: Tree) -> bool:
    """True with Data/Images in the folder or in a folder of it."""
    return any(_is_part(path, "images") or _is_part(path[1:], "images") for path in map(folders, tree.images))


def read(tree: Tree) -> Reading:
    """Raises DataError for a split file that is no such table."""
    entries, masks, homes = [], {}, {}
    for file in tree.images:
        path = folders(file)
        single = _is_part(path, "images") or _is_part(path, "masks")
        name, rest = (tree.root.resolve().name, path) if single else (path[0] if path else "", path[1:])
        if _is_part(rest, "masks"):
            masks[file] = "/".join((name, *rest[2:]))
        elif _is_part(rest, "images") and len(rest) > 2:
            label, kind = label_of(rest[2])
            entries.append(Entry(file, label, name, kind=kind))
            homes[file] = ("/".join((name, *rest[2:])),)
    paired, problems = pair_masks(entries, masks, homes)
    if (tree.root / SPLIT_FILE).is_file():
        paired, more = _split(tree, paired)
        problems += more
    return Reading(tuple(paired), frozenset(masks), tuple(problems))


def _is_part(path: tuple[str, ...], part: str) -> bool:
    return len(path) > 1 and path[0].casefold() == "data" and path[1].casefold() == part


def _split(tree: Tree, entries: list[Entry]) -> tuple[list[Entry], list[Problem]]:
    """Entries with the split that the table names; the folder's label stands, and a row that differs is reported."""
    known = {entry.file: entry for entry in entries}
    classes = {entry.class_name for entry in entries}
    absent: set[str] = set()
    problems: list[Problem] = []
    rows = read_table(tree.root, SPLIT_FILE, ("object", "split", "label", "image", "mask"))
    for row in rows:
        if row["object"] not in classes:
            absent.add(row["object"])
            continue
        file = inside(tree.root, row["image"])
        entry = known.get(file or "")
        if entry is None:
            problems.append(Problem("list", row["image"], f"named by {SPLIT_FILE}, but there is no such image"))
        elif row["split"] not in _SPLITS:
            detail = f"{SPLIT_FILE} puts it into {row['split']!r}, neither train nor test"
            problems.append(Problem("list", entry.file, detail))
        else:
            known[entry.file] = replace(entry, split=_SPLITS[row["split"]])
            if label_of(row["label"])[0] != entry.label:
                detail = f"{SPLIT_FILE} calls it {row['label']!r}; its folder decides"
                problems.append(Problem("list", entry.file, detail))
        mask = inside(tree.root, row["mask"]) if row["mask"] else None
        if row["mask"] and (mask is None or not (tree.root / mask).is_file()):
            problems.append(Problem("mask", row["mask"], f"a mask named by {SPLIT_FILE}, but there is no such file"))
    problems += [Problem("list", name, f"a class of {SPLIT_FILE} that is not here") for name in sorted(absent)]
    problems += [
        Problem("list", e.file, f"not in {SPLIT_FILE}; in no split") for e in known.values() if e.split is None
    ]
    return list(known.values()), problems
