"""MVTec AD's layout, for one class or a folder of classes; MPDD, BTAD and DTD-Synthetic share it.

<class>/train/good/*, <class>/test/{good,<defect>}/*, <class>/ground_truth/<defect>/NAME_mask.png
"""

from __future__ import annotations

from calibrate.datasets.label_names import MASKS, NORMAL, label_of
from calibrate.datasets.pairs import pair_masks
from calibrate.datasets.sample import Entry, Reading, Split
from calibrate.datasets.tree import Tree, folders

_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}


def matches(tree: Tree) -> bool:
    """True with test/<kind> in the folder, or with test/<kind> or train/good in a folder of it.

    train/good alone, without a class around it, is a plain folder of normal images.
    """
    return any(_has_test(path) or _is_class(path[1:]) for path in map(folders, tree.images))


def read(tree: Tree) -> Reading:
    single = any(_is_class(folders(f)) for f in tree.images)
    entries, masks, homes = [], {}, {}
    for file in tree.images:
        path = folders(file)
        name, rest = (tree.root.resolve().name, path) if single else (path[0] if path else "", path[1:])
        if len(rest) < 1:
            continue
        where = rest[0].casefold()
        if where in MASKS:
            masks[file] = "/".join((name, *rest[1:]))
        elif where in _SPLITS and len(rest) > 1:
            label, kind = label_of(rest[1])
            entries.append(Entry(file, label, name, _SPLITS[where], kind))
            homes[file] = ("/".join((name, *rest[1:])),)
    paired, problems = pair_masks(entries, masks, homes)
    return Reading(tuple(paired), frozenset(masks), tuple(problems))


def _has_test(path: tuple[str, ...]) -> bool:
    return len(path) > 1 and path[0].casefold() == "test"


def _is_class(path: tuple[str, ...]) -> bool:
    return _has_test(path) or (len(path) > 1 and path[0].casefold() == "train" and path[1].casefold() in NORMAL)
