"""DAGM 2007 as it is downloaded: [ClassN/]{Train,Test}/NNNN.PNG, and {Train,Test}/Label/NNNN_label.PNG of defects.

An image with a label image is anomalous, all others are normal.
"""

from __future__ import annotations

from calibrate.datasets.sample import Entry, Problem, Reading, Split
from calibrate.datasets.tree import Tree, folders, stem

_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}
_FOLDER, _ENDING = "label", "_label"


def matches(tree: Tree) -> bool:
    """True with Train/Label or Test/Label that holds label images."""
    return any(_is_label(f) for f in tree.images)


def read(tree: Tree) -> Reading:
    """Label images without their image are problems."""
    masks = {_home(f, 1, stem(f).removesuffix(_ENDING)): f for f in tree.images if _is_label(f)}
    entries, used = [], set()
    for file in tree.images:
        path = folders(file)
        if not path or path[-1].casefold() not in _SPLITS:
            continue
        mask = masks.get(_home(file, 0, stem(file)))
        used.add(mask)
        name = path[-2] if len(path) > 1 else tree.root.resolve().name
        kind = None if mask is None else "defect"
        entries.append(Entry(file, mask is not None, name, _SPLITS[path[-1].casefold()], kind, mask))
    problems = [
        Problem("mask", m, "a label of an image that is not here; not used") for m in masks.values() if m not in used
    ]
    return Reading(tuple(entries), frozenset(masks.values()), tuple(problems))


def _is_label(file: str) -> bool:
    path = [part.casefold() for part in folders(file)[-2:]]
    return len(path) == 2 and path[0] in _SPLITS and path[1] == _FOLDER and stem(file).casefold().endswith(_ENDING)


def _home(file: str, up: int, name: str) -> tuple[tuple[str, ...], str]:
    """(the folder of the split, the image's name)."""
    path = folders(file)
    return path[: len(path) - up], name
