"""What is known of images: as a layout names them, as samples with bytes and units, and what is wrong with them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fbclip.files import canonical_json

Split = Literal["train", "test"]
ProblemKind = Literal["ignored", "passed over", "left out", "copy", "two labels", "list", "mask"]
"""passed over: neither a plain name nor a plain file; left out: no place in the layout; copy: the bytes of another one;
two labels: normal and anomalous at once; list: a table beside the images that does not agree with them; mask: one that
is missing or belongs to no image."""


@dataclass(frozen=True)
class Problem:
    """What a reader could not take as it is; `file`, or a folder of many, is relative to the data folder."""

    kind: ProblemKind
    file: str
    detail: str

    def __str__(self) -> str:
        return f"{self.file}: {self.detail}"


@dataclass(frozen=True)
class Entry:
    """An image as its layout labels it, by name alone; file and mask are posix paths relative to the data folder.

    unit: only where the layout itself names it.
    """

    file: str
    label: bool | None
    class_name: str = "all"
    split: Split | None = None
    kind: str | None = None
    mask: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Reading:
    """What a layout says of a folder; masks: every file that is a mask and no image, used or not."""

    entries: tuple[Entry, ...]
    masks: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Sample:
    """A labelled image and the unit (part, file, volume) it shows; images of one unit are not independent.

    label: False normal, True anomalous, None not labelled; mask: image that is not black where the defect is, None
    for a normal one and where the set has none; kind: the defect's name in the set;
    sha256: of the file's bytes; slice: which of a scan's slices it is, from 0, None where the file is one image.
    series: the files of the volume, in order, where each slice is a file of its own.
    """

    path: Path
    unit: str
    sha256: str
    label: bool | None = False
    mask: Path | None = None
    class_name: str = "all"
    split: Split | None = None
    kind: str | None = None
    slice: int | None = None
    series: tuple[Path, ...] = ()

    @property
    def volume(self) -> Path:
        """What tells whether two slices are of one volume: its file, or its first one."""
        return self.series[0] if self.series else self.path


@dataclass(frozen=True)
class DataSet:
    """Samples in a fixed order, the layout they were read by, and what is wrong."""

    root: Path
    layout: str
    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order of first appearance."""
        return tuple(dict.fromkeys(s.class_name for s in self.samples))

    def normal(self) -> list[Sample]:
        return [s for s in self.samples if s.label is False]

    def anomalous(self) -> list[Sample]:
        return [s for s in self.samples if s.label is True]


def data_sha256(samples: Sequence[Sample]) -> str:
    """Digest of contents, units and labels; names, folders and order do not matter."""
    rows = sorted([s.sha256, hashlib.sha256(s.unit.encode()).hexdigest(), s.label] for s in samples)
    return hashlib.sha256(canonical_json(rows)).hexdigest()
