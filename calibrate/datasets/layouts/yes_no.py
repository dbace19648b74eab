"""BrainMRI and Br35H as they are downloaded: yes/ and no/, also a second time one folder down; pred/ has no labels.

Other folders, such as Br35H-Mask-RCNN/, have no place here: their images are those of yes/, or without a label.
"""

from __future__ import annotations

from calibrate.datasets.label_names import MASKS, UNLABELLED
from calibrate.datasets.sample import Entry, Reading
from calibrate.datasets.tree import Tree, folders

_LABELS = {"yes": True, "no": False}


def matches(tree: Tree) -> bool:
    """True with yes/ and no/ side by side and no masks, which are a plain folder's."""
    homes: dict[tuple[str, ...], set[str]] = {}
    for path in map(folders, tree.images):
        if any(part.casefold() in MASKS for part in path):
            return False
        if path and path[-1].casefold() in _LABELS:
            homes.setdefault(path[:-1], set()).add(path[-1].casefold())
    return any(len(found) == len(_LABELS) for found in homes.values())


def read(tree: Tree) -> Reading:
    entries = []
    for file in tree.images:
        path = folders(file)
        word = path[-1].casefold() if path else ""
        if word in _LABELS or word in UNLABELLED:
            label = _LABELS.get(word)
            entries.append(Entry(file, label, kind=path[-1] if label else None))
    return Reading(tuple(entries))
