"""Triggered parts that have no answer yet, in the order of their triggers, and how many images each of them has."""

from __future__ import annotations

from dataclasses import dataclass

from agent.records import TriggeredPart


@dataclass
class _Open:
    part: TriggeredPart
    taken: int = 0


class OpenParts:
    """For whoever holds its owner's lock. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, part: TriggeredPart) -> bool:
        return part.number in self._open

    @property
    def images(self) -> int:
        """How many all of them are to have."""
        return sum(one.part.frames for one in self._open.values())

    def add(self, part: TriggeredPart) -> None:
        """It waits for its images."""
        self._open[part.number] = _Open(part)

    def remove(self, part: TriggeredPart) -> None:
        """It has its answer; one that had it before is passed over."""
        self._open.pop(part.number, None)

    def take(self, taken_at: float) -> tuple[TriggeredPart, int] | None:
        """The part that an image taken at `taken_at` belongs to, and which of its images that is, from 1."""
        for one in self._open.values():
            if one.taken < one.part.frames and taken_at < one.part.due:
                if taken_at <= one.part.not_before:
                    return None
                one.taken += 1
                return one.part, one.taken
        return None

    def all(self) -> list[TriggeredPart]:
        return [one.part for one in self._open.values()]

    def lacking(self) -> list[TriggeredPart]:
        """Those that do not have all their images."""
        return [one.part for one in self._open.values() if one.taken < one.part.frames]

    def late(self, now: float) -> list[TriggeredPart]:
        """Those whose answer is due."""
        return [one.part for one in self._open.values() if one.part.due <= now]
