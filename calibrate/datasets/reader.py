"""A folder of images in any known layout -> samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from calibrate.datasets.duplicates import drop_copies, two_labels
from calibrate.datasets.layouts.doubts import doubt
from calibrate.datasets.layouts.registry import LAYOUTS, detect
from calibrate.datasets.sample import DataSet, Problem, Reading, Sample
from calibrate.datasets.tree import Tree, folders, walk
from calibrate.datasets.units import unit_namer
from calibrate.errors import DataError
from fbclip.errors import ConfigError
from fbclip.files import file_sha256


def read_data(root: Path, layout: str = "auto", unit_from: str | None = None) -> DataSet:
    """Samples in the order of their paths; every file's bytes are read once, no pixels are decoded.

    `layout`: a name of LAYOUTS, or auto, which refuses what it would read in part or take for something else;
    `unit_from`: see `unit_namer`. Raises ConfigError for an unknown layout, DataError for a folder, list or name that
    cannot be used, OSError.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise ConfigError(f"--layout {layout!r} must be auto, {', '.join(LAYOUTS)}")
    tree = walk(root)
    name = detect(tree) if layout == "auto" else layout
    reading = LAYOUTS[name].read(tree)
    against = doubt(tree, name, reading) if layout == "auto" else None
    if against is not None:
        raise DataError(f"{root}: looks like the layout {name}, but {against}; --layout {name} takes it as it is")
    if not reading.entries:
        raise DataError(f"{root}: no images in the layout {name} ({LAYOUTS[name].sign})")
    unit_of = unit_namer(root, unit_from)
    found = [
        Sample(
            path=root / entry.file,
            unit=unit_of(entry),
            sha256=file_sha256(root / entry.file),
            label=entry.label,
            mask=None if entry.mask is None else root / entry.mask,
            class_name=entry.class_name,
            split=entry.split,
            kind=entry.kind,
        )
        for entry in sorted(reading.entries, key=lambda e: e.file)
    ]
    samples, copies = drop_copies(found, root)
    problems = [
        *tree.problems,
        *reading.problems,
        *_left_out(tree, reading, name),
        *copies,
        *two_labels(samples, root),
        *_without_mask(samples, root),
    ]
    return DataSet(root, name, tuple(samples), tuple(problems))


def _left_out(tree: Tree, reading: Reading, layout: str) -> list[Problem]:
    """One a folder: its images may be thousands."""
    used = {entry.file for entry in reading.entries} | reading.masks
    rest = Counter("/".join(folders(f)) or "." for f in tree.images if f not in used)
    return [
        Problem("left out", folder, f"no place in the layout {layout}; images left out: {n}")
        for folder, n in rest.items()
    ]


def _without_mask(samples: Sequence[Sample], root: Path) -> list[Problem]:
    """A class without any masks is labelled by image and misses none."""
    masked = {s.class_name for s in samples if s.mask is not None}
    return [
        Problem(
            "mask",
            s.path.relative_to(root).as_posix(),
            f"anomalous without a mask, though others of {s.class_name} have one",
        )
        for s in samples
        if s.label and s.mask is None and s.class_name in masked
    ]
