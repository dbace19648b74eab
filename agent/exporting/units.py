"""Which inspections are of the same part: by what the store knows of them, and by time where it knows nothing.

A series of scans, the bytes of a file and the id that a trigger brought tell a part from others, whenever they come
again. The images of a trigger without an id are counted by it. A continuous camera, a video or an interval says nothing
of parts: there only a pause may lie between two of them. What is in doubt is one unit, because too few units ask for
more, and too many promise what they cannot keep.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.config.line import LineSection
from agent.config.source import FolderSource
from agent.store.reader import InspectionRow

SAME_PART = timedelta(seconds=10)
"""Frames of one camera so close together may show the same part, and then are no proof of each other."""


@dataclass(frozen=True)
class _Before:
    """The latest inspection of a line: when, of which unit, and which image of its trigger."""

    ts: datetime
    unit: str
    frame: int


def units_of(
    rows: Sequence[InspectionRow], sections: Mapping[str, LineSection], series: Mapping[int, str]
) -> dict[int, str]:
    """Inspections, oldest first -> the unit of each by id. `series`: of a file's id what its series is known by.

    A file that nothing else is of has an empty one: the data set says by it that it is a part of its own.
    """
    units: dict[int, str] = {}
    firsts: dict[Hashable, tuple[int, str]] = {}
    before: dict[str, _Before] = {}
    for row in rows:
        if isinstance(sections[row.line].source, FolderSource):
            known = None if row.file_id is None else series.get(row.file_id)
            key: Hashable = (row.line, "series", known) if known else (row.line, "file", row.sha256 or row.id)
            first, unit = firsts.setdefault(key, (row.id, f"file-{row.id}"))
            units[row.id] = "" if first == row.id else unit
            units[first] = units[first] if first == row.id else unit
            continue
        named = _named(row)
        if named is not None:
            units[row.id] = firsts.setdefault((row.line, named), (row.id, f"part-{row.id}"))[1]
            continue
        last = before.get(row.line)
        frame = _frame(row)
        same = last is not None and (frame > last.frame if frame else row.ts - last.ts <= SAME_PART)
        units[row.id] = last.unit if last is not None and same else f"seen-{row.id}"
        before[row.line] = _Before(row.ts, units[row.id], frame)
    return units


def _named(row: InspectionRow) -> str | None:
    """What a trigger said its part is, or itself; None where it said nothing, or there was none."""
    context = row.context or {}
    names = [(word, context.get(word)) for word in ("part", "correlation_id")]
    return next((json.dumps(pair, sort_keys=True) for pair in names if pair[1] is not None), None)


def _frame(row: InspectionRow) -> int:
    """Which image of its trigger, from 1; 0 where no command asked for it."""
    context = row.context or {}
    frame = context.get("frame") if context.get("trigger") == "mqtt" else None
    return frame if isinstance(frame, int) else 0
