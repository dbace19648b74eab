"""What every reader yields: one image with what is known of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fbclip.files import canonical_json

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Sample:
    """A labelled image and the unit (part, file, volume) it shows; images of one unit are not independent.

    label: False normal, True anomalous, None not labelled; mask: image that is not black where the defect is, None
    for a normal one and where the set has none; kind: the defect's name in the set;
    sha256: of the file's bytes.
    """

    path: Path
    unit: str
    sha256: str
    label: bool | None = False
    mask: Path | None = None
    class_name: str = "all"
    split: Split | None = None
    kind: str | None = None


@dataclass(frozen=True)
class DataSet:
    """Samples in a fixed order, the layout they were read by, and what is wrong, one line a file."""

    root: Path
    layout: str
    samples: tuple[Sample, ...]
    problems: tuple[str, ...] = field(default=())

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
