"""The layouts by name, and which of them a folder has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from calibrate.datasets.layouts import (
    dagm,
    feedback,
    head_ct,
    image_mask,
    kolektor,
    meta_json,
    mvtec,
    plain,
    real_iad,
    visa,
    yes_no,
)
from calibrate.datasets.sample import Reading
from calibrate.datasets.tree import Tree
from calibrate.errors import DataError


@dataclass(frozen=True)
class Layout:
    """matches: whether a folder may have this layout; sign: what it is known by, for people."""

    matches: Callable[[Tree], bool]
    read: Callable[[Tree], Reading]
    sign: str


# The most explicit first: a list that somebody wrote beats names of folders.
LAYOUTS = {
    "feedback": Layout(feedback.matches, feedback.read, "feedback.csv"),
    "meta-json": Layout(meta_json.matches, meta_json.read, "meta.json"),
    "real-iad": Layout(real_iad.matches, real_iad.read, "realiad_jsons/<class>.json"),
    "head-ct": Layout(head_ct.matches, head_ct.read, "labels.csv with id and hemorrhage"),
    "visa": Layout(visa.matches, visa.read, "[<class>/]Data/Images"),
    "kolektor": Layout(kolektor.matches, kolektor.read, "kos01/Part0.jpg and kos01/Part0_label.bmp"),
    "dagm": Layout(dagm.matches, dagm.read, "[<class>/]Train/Label or Test/Label"),
    "mvtec": Layout(mvtec.matches, mvtec.read, "[<class>/]test/<kind>"),
    "image-mask": Layout(image_mask.matches, image_mask.read, "images/ beside masks/, Original/ beside Ground Truth/"),
    "yes-no": Layout(yes_no.matches, yes_no.read, "yes/ beside no/"),
    "plain": Layout(plain.matches, plain.read, "good/ (or ok, normal, no), train/good/ or images directly in it"),
}


def detect(tree: Tree) -> str:
    """Name of the first layout that matches. Raises DataError when none does."""
    for name, layout in LAYOUTS.items():
        if layout.matches(tree):
            return name
    signs = "; ".join(f"{name}: {layout.sign}" for name, layout in LAYOUTS.items())
    raise DataError(f"{tree.root}: no known layout. Looked for {signs}. --layout names one")
