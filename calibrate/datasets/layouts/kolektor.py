"""KolektorSDD as it is downloaded: kosNN/PartN.jpg and kosNN/PartN_label.bmp, one folder a commutator.

Every image has a label image, and only its pixels say whether there is a defect: black means normal. So this layout,
alone of all, opens files. A folder is one unit: its images show the same part.
"""

from __future__ import annotations

import re

from calibrate.datasets.masks import read_mask
from calibrate.datasets.sample import Entry, Problem, Reading
from calibrate.datasets.tree import Tree, folders, stem

_FOLDER = re.compile(r"kos\d+", re.IGNORECASE)
_ENDING = "_label"


def matches(tree: Tree) -> bool:
    """True with a label image in a folder kosNN."""
    return any(_in_item(f) and stem(f).endswith(_ENDING) for f in tree.images)


def read(tree: Tree) -> Reading:
    """Raises DataError for a label image that cannot be decoded."""
    mine = [f for f in tree.images if _in_item(f)]
    labels = {_key(f).removesuffix(_ENDING): f for f in mine if stem(f).endswith(_ENDING)}
    entries, problems = [], []
    for file in (f for f in mine if not stem(f).endswith(_ENDING)):
        unit, mask = "/".join(folders(file)), labels.get(_key(file))
        if mask is None:
            problems.append(Problem("mask", file, f"no {stem(file)}{_ENDING} beside it, so nobody says what it is"))
            entries.append(Entry(file, None, unit=unit))
        else:
            defect = bool(read_mask(tree.root / mask).any())
            entries.append(
                Entry(file, defect, kind="defect" if defect else None, mask=mask if defect else None, unit=unit)
            )
    return Reading(tuple(entries), frozenset(labels.values()), tuple(problems))


def _in_item(file: str) -> bool:
    path = folders(file)
    return bool(path) and _FOLDER.fullmatch(path[-1]) is not None


def _key(file: str) -> str:
    return file.rsplit(".", 1)[0]
