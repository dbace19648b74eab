"""Images in one folder, their masks under the same names in the one beside it; every image shows a lesion.

CVC-ColonDB, Kvasir, EndoTect        images/ and masks/
CVC-ClinicDB                         Original/ and Ground Truth/, also once as PNG/ and once as TIF/
ISIC 2016                            *_Test_Data/ and *_Test_GroundTruth/NAME_Segmentation.png; *_Training_*
TN3K                                 test-image/ and test-mask/; trainval-*
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from calibrate.datasets.label_names import NORMAL
from calibrate.datasets.sample import Entry, Problem, Reading, Split
from calibrate.datasets.tree import Tree, folders, stem

_PAIRS: tuple[tuple[str, str, Split | None], ...] = (
    (r"images", "masks", None),
    (r"original", "ground truth", None),
    (r"test-image", "test-mask", "test"),
    (r"trainval-image", "trainval-mask", "train"),
    (r"(.*)_test_data", r"\1_test_groundtruth", "test"),
    (r"(.*)_training_data", r"\1_training_groundtruth", "train"),
)
_ENDINGS = ("", "_segmentation", "_mask")

Folder = tuple[str, ...]


def matches(tree: Tree) -> bool:
    """True with such a pair of folders, and none that is called normal."""
    homes = {folders(f) for f in tree.images}
    return bool(_pairs(homes)) and not any(part.casefold() in NORMAL for home in homes for part in home)


def read(tree: Tree) -> Reading:
    """An image without its mask has no label. Of the same images in two formats one is read."""
    files: dict[Folder, dict[str, str]] = defaultdict(dict)
    for file in tree.images:
        files[folders(file)][stem(file).casefold()] = file
    entries, masks, problems = [], set(), []
    seen: dict[frozenset[str], Folder] = {}
    for home, beside, split in sorted(_pairs(files), key=lambda pair: pair[0]):
        names = frozenset(files[home])
        first = seen.setdefault(names, home)
        if first != home and len(home) > 1 and home[1:] == first[1:]:
            problems.append(Problem("copy", "/".join(home), f"the same images as in {'/'.join(first)}; not used"))
            continue
        owned = {}
        for name, file in files[home].items():
            mask = next((files[beside][name + e] for e in _ENDINGS if name + e in files[beside]), None)
            if mask is None:
                problems.append(Problem("mask", file, f"no mask in {'/'.join(beside)}, so nobody says what it is"))
            owned[file] = mask
            entries.append(
                Entry(file, None if mask is None else True, home[0] if len(home) > 1 else "all", split, mask=mask)
            )
        masks |= set(files[beside].values())
        unused = set(files[beside].values()) - set(owned.values())
        problems += [Problem("mask", m, "a mask that no image is called like; not used") for m in sorted(unused)]
    return Reading(tuple(entries), frozenset(masks), tuple(problems))


def _pairs(homes: Iterable[Folder]) -> list[tuple[Folder, Folder, Split | None]]:
    """(folder of images, folder of masks beside it, split)."""
    known = {tuple(part.casefold() for part in home): home for home in homes if home}
    found = []
    for lower, home in known.items():
        for pattern, beside, split in _PAIRS:
            match = re.fullmatch(pattern, lower[-1])
            other = None if match is None else known.get((*lower[:-1], match.expand(beside)))
            if other is not None:
                found.append((home, other, split))
    return found
