"""Folder names that say what the images inside show."""

from __future__ import annotations

from typing import Literal

NORMAL = frozenset({"good", "ok", "normal", "no"})
ANOMALOUS = frozenset({"bad", "ng", "nok", "ko", "defect", "defective", "anomaly", "yes"})
UNLABELLED = frozenset({"pred", "unlabelled", "unlabeled"})
MASKS = frozenset({"masks", "ground_truth"})

Meaning = Literal["normal", "anomalous", "unlabelled"]


def meaning(folder: str) -> Meaning | None:
    """What a folder's name says, whatever its case; None for a name that says nothing by itself."""
    word = folder.casefold()
    if word in NORMAL:
        return "normal"
    if word in ANOMALOUS:
        return "anomalous"
    return "unlabelled" if word in UNLABELLED else None


def label_of(folder: str) -> tuple[bool | None, str | None]:
    """(label, kind) of the images in a folder of a set whose folders are named by defect."""
    match meaning(folder):
        case "normal":
            return False, None
        case "unlabelled":
            return None, None
        case _:
            return True, folder
