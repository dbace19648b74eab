"""What people answered to an agent's verdicts: images and their labels, for the line to be tuned on.

    frames/*.png, frames/*.jpg
    feedback.csv: file, unit, line, ts, label

This is the contract between `agent export`, which writes it, and the readers here. One row an image; `file` is its
name inside frames/; images with the same `line` and `unit` show the same part, and an empty `unit` says that the
image is a part of its own; `line` becomes the class; `ts` is ISO 8601 and not used here; `label` is `ok` or
`anomaly`, and anything else means that nobody has decided.
"""

from __future__ import annotations

from calibrate.datasets.sample import Entry, Problem, Reading
from calibrate.datasets.tables import inside, read_table
from calibrate.datasets.tree import Tree

LIST_FILE = "feedback.csv"
FOLDER = "frames"
_LABELS = {"ok": False, "anomaly": True}


def matches(tree: Tree) -> bool:
    return (tree.root / LIST_FILE).is_file()


def read(tree: Tree) -> Reading:
    """Raises DataError for a list without one of its columns."""
    images = frozenset(tree.images)
    entries: dict[str, Entry] = {}
    problems: list[Problem] = []
    for row in read_table(tree.root, LIST_FILE, ("file", "unit", "line", "ts", "label")):
        file = inside(tree.root, f"{FOLDER}/{row['file']}")
        if file is None or file not in images or not file.startswith(f"{FOLDER}/"):
            detail = f"named by {LIST_FILE}, but there is no such image in {FOLDER}/"
            problems.append(Problem("list", row["file"], detail))
        elif file in entries:
            problems.append(Problem("list", file, f"a second row in {LIST_FILE}; the first one counts"))
        else:
            unit = f"{row['line']}/{row['unit']}" if row["unit"] else None
            entries[file] = Entry(file, _LABELS.get(row["label"].lower()), row["line"] or "all", unit=unit)
    return Reading(tuple(entries.values()), problems=tuple(problems))
