"""A folder of normal images, or of folders whose names say normal or anomalous.

    DATA/*.png                                      all normal
    DATA/train/good/*                               all normal
    DATA/good/*, DATA/<any other name>/*            good, ok, normal, no; every other folder is anomalous
    DATA/masks/[<folder>/]NAME[_mask].png           or ground_truth/

Folders may lie deeper; the deepest name that means something decides.
"""

from __future__ import annotations

from calibrate.datasets.label_names import MASKS, NORMAL, meaning
from calibrate.datasets.pairs import pair_masks
from calibrate.datasets.sample import Entry, Reading
from calibrate.datasets.tree import Tree, folders, stem
from calibrate.errors import DataError

_MASK_ENDINGS = ("_mask", "_label", "_segmentation")


def matches(tree: Tree) -> bool:
    """True with images directly in the folder, in a folder named good, or in train/good."""
    return any(_is_normal_top(f) or _is_train_normal(f) or "/" not in f for f in tree.images)


def read(tree: Tree) -> Reading:
    """Raises DataError where images lie so that normal ones cannot be told from anomalous ones or masks."""
    if any(_is_normal_top(f) for f in tree.images):
        return _labelled(tree)
    train = [f for f in tree.images if _is_train_normal(f)]
    if train:
        return Reading(tuple(Entry(f, False, split="train") for f in train))
    return _flat(tree)


def _is_normal_top(file: str) -> bool:
    return "/" in file and folders(file)[0].casefold() in NORMAL


def _is_train_normal(file: str) -> bool:
    path = [part.casefold() for part in folders(file)[:2]]
    return len(path) == 2 and path[0] == "train" and path[1] in NORMAL


def _flat(tree: Tree) -> Reading:
    files = [f for f in tree.images if "/" not in f]
    names = {stem(f) for f in files}
    for file in files:
        if any(stem(file).endswith(e) and stem(file).removesuffix(e) in names for e in _MASK_ENDINGS):
            raise DataError(f"{tree.root / file}: looks like a mask beside its image; move masks into masks/")
    for file in tree.images:
        if any(part.casefold() in MASKS for part in folders(file)):
            raise DataError(
                f"{tree.root / file}: a mask, but no folder says which images are normal; "
                "move them into good/ and the others into bad/"
            )
    return Reading(tuple(Entry(f, False) for f in files))


def _labelled(tree: Tree) -> Reading:
    entries, masks, homes = [], {}, {}
    for file in tree.images:
        path = folders(file)
        kept = [part for part in path if part.casefold() not in MASKS]
        if len(kept) < len(path):
            masks[file] = "/".join(kept)
        elif path:
            label, kind = _label(path)
            entries.append(Entry(file, label, kind=kind))
            homes[file] = ("/".join(path), path[-1], kind or "", "")
    paired, problems = pair_masks(entries, masks, homes)
    return Reading(tuple(paired), frozenset(masks), tuple(problems))


def _label(path: tuple[str, ...]) -> tuple[bool | None, str | None]:
    """(label, kind) by the deepest folder that means something; without one the first folder names the kind."""
    for at in reversed(range(len(path))):
        match meaning(path[at]):
            case "normal":
                return False, None
            case "unlabelled":
                return None, None
            case "anomalous":
                # bad/scratch/: the folder below says more than the word itself.
                return True, path[at + 1] if at + 1 < len(path) else path[at]
    return True, path[0]
