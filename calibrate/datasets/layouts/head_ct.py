"""HeadCT as it is downloaded: labels.csv (`id, hemorrhage`) and head_ct/[head_ct/]NNN.png."""

from __future__ import annotations

from calibrate.datasets.sample import Entry, Problem, Reading
from calibrate.datasets.tables import read_table
from calibrate.datasets.tree import Tree, stem
from calibrate.errors import DataError

LIST_FILE = "labels.csv"
_COLUMNS = ("id", "hemorrhage")
_LABELS = {"0": False, "1": True}


def matches(tree: Tree) -> bool:
    """True with a labels.csv of these columns."""
    if not (tree.root / LIST_FILE).is_file():
        return False
    try:
        read_table(tree.root, LIST_FILE, _COLUMNS)
    except DataError:
        return False
    return True


def read(tree: Tree) -> Reading:
    """Images are found by the number that is their name. Raises DataError for a table without its columns."""
    labels: dict[int, bool] = {}
    problems: list[Problem] = []
    for row in read_table(tree.root, LIST_FILE, _COLUMNS):
        if not row["id"].isdecimal() or row["hemorrhage"] not in _LABELS:
            detail = f"id {row['id']!r} with {row['hemorrhage']!r}: need a number with 0 or 1; left out"
            problems.append(Problem("list", LIST_FILE, detail))
        else:
            labels[int(row["id"])] = _LABELS[row["hemorrhage"]]
    entries, missing = [], dict(labels)
    for file in tree.images:
        number = int(stem(file)) if stem(file).isdecimal() else None
        label = None if number is None else labels.get(number)
        if label is None:
            problems.append(Problem("list", file, f"not in {LIST_FILE}, so nobody says what it is"))
        elif number is not None:
            missing.pop(number, None)
        entries.append(Entry(file, label, kind="hemorrhage" if label else None))
    problems += [Problem("list", str(n), f"named by {LIST_FILE}, but there is no such image") for n in missing]
    return Reading(tuple(entries), problems=tuple(problems))
