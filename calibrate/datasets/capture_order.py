"""In which order a data set's units came by: by the times that `agent collect` wrote, else by their file names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from calibrate.datasets.sample import Sample
from calibrate.datasets.tables import read_table
from calibrate.datasets.units import COLLECT_FILE

_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class CaptureOrder:
    """units: in order; by: the times of capture, or file names, whose numbers count as such."""

    by: Literal["time", "name"]
    units: tuple[str, ...]


def capture_order(root: Path, samples: Sequence[Sample]) -> CaptureOrder:
    """A unit came when its first image did. Times count only where every image has one.

    What a file system says of when a file changed is not asked: copying a folder sets it anew. Raises DataError for a
    table that cannot be read.
    """
    times = _times(root)
    if samples and all(s.path.name in times for s in samples):
        ordered = sorted(samples, key=lambda s: (times[s.path.name], _natural(s.path)))
        return CaptureOrder("time", tuple(dict.fromkeys(s.unit for s in ordered)))
    ordered = sorted(samples, key=lambda s: _natural(s.path))
    return CaptureOrder("name", tuple(dict.fromkeys(s.unit for s in ordered)))


def _times(root: Path) -> dict[str, str]:
    """File name -> time. RFC 3339 in one zone, as the agent writes it, sorts as text."""
    if not (root / COLLECT_FILE).is_file():
        return {}
    rows = read_table(root, COLLECT_FILE, ("file",))
    return {PurePosixPath(row["file"]).name: row["ts"] for row in rows if row.get("ts")}


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = _NUMBER.split(str(path))
    return [(1, int(part), "") if at % 2 else (0, 0, part) for at, part in enumerate(parts)]
