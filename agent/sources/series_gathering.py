"""Slices that wait for the rest of their series, until nothing new has come for a while. Pure, by a clock handed in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agent.sources.settling import Stamp
from fbclip.images.scans.series_order import SliceHeader


@dataclass(frozen=True)
class WaitingSlice:
    """A file in the hot folder, as it was when its header was read; `name` is its path as the ledger writes it."""

    file_id: int
    path: Path
    name: str
    stamp: Stamp
    header: SliceHeader


@dataclass
class _Group:
    last: float
    slices: dict[Path, WaitingSlice] = field(default_factory=dict)


class Gathering:
    """Files by series. Times are monotonic seconds."""

    def __init__(self, quiet_s: float) -> None:
        self._quiet_s = quiet_s
        self._groups: dict[str, _Group] = {}

    def __len__(self) -> int:
        return sum(len(group.slices) for group in self._groups.values())

    def add(self, one: WaitingSlice, now: float) -> WaitingSlice | None:
        """The series waits on from now. Returns what lay under the same path before: that version is no more."""
        replaced = None
        for group in self._groups.values():
            replaced = group.slices.pop(one.path, None) or replaced
        group = self._groups.setdefault(one.header.series, _Group(now))
        group.slices[one.path], group.last = one, now
        return None if replaced is None or replaced.file_id == one.file_id else replaced

    def due(self, now: float) -> tuple[WaitingSlice, ...]:
        """The slices of the series that has been quiet for longest, in the order they came; empty where none is due."""
        self._groups = {series: group for series, group in self._groups.items() if group.slices}
        quiet = [group for group in self._groups.values() if now - group.last >= self._quiet_s]
        return tuple(min(quiet, key=lambda group: group.last).slices.values()) if quiet else ()

    def wait_on(self, series: str, now: float) -> None:
        """It was due and cannot be judged yet."""
        if series in self._groups:
            self._groups[series].last = now

    def remove(self, one: WaitingSlice) -> None:
        """It waits no longer; a newer version of it does."""
        group = self._groups.get(one.header.series)
        if group is not None and group.slices.get(one.path) == one:
            del group.slices[one.path]

    def seconds_to_due(self, now: float) -> float | None:
        """None where nothing waits."""
        lasts = [group.last for group in self._groups.values() if group.slices]
        return max(0.0, min(lasts) + self._quiet_s - now) if lasts else None
