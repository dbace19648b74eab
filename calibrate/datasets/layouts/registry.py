"""The layouts by name, and which of them a folder has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from calibrate.datasets.layouts import feedback, meta_json, mvtec, plain, visa
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
    "visa": Layout(visa.matches, visa.read, "[<class>/]Data/Images"),
    "mvtec": Layout(mvtec.matches, mvtec.read, "[<class>/]test/<kind>"),
    "plain": Layout(plain.matches, plain.read, "good/ (or ok, normal, no), train/good/ or images directly in it"),
}


def detect(tree: Tree) -> str:
    """Name of the first layout that matches. Raises DataError when none does."""
    for name, layout in LAYOUTS.items():
        if layout.matches(tree):
            return name
    signs = "; ".join(f"{name}: {layout.sign}" for name, layout in LAYOUTS.items())
    raise DataError(f"{tree.root}: no known layout. Looked for {signs}. --layout names one")
