"""The outbox kept within its limits from the sender's thread, and what that cost, for health and log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

from agent.records import timestamp
from agent.store.eviction import GivenUp

log = logging.getLogger(__name__)
# Counting what waits reads all of it.
EVERY_S = 30.0
TOLD_EVERY_S = 600.0
# So long a loss counts as a problem; then it is a note.
PROBLEM_FOR = timedelta(hours=1)


class EvictingRows(Protocol):
    """The part of the eviction that is needed."""

    def turn(self, now: datetime, keep_ids: Collection[int] = ()) -> dict[str, int]: ...

    def ever(self) -> Mapping[str, GivenUp]: ...


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Bounds:
    """One thread calls `step`; any may ask."""

    def __init__(self, rows: EvictingRows, wall: Callable[[], datetime] = _utc_now) -> None:
        self._rows = rows
        self._wall = wall
        self._next = float("-inf")
        self._told_at: dict[str, float] = {}
        self._ever: Mapping[str, GivenUp] = {}

    def step(self, now: float, on_their_way: Callable[[], Collection[int]]) -> bool:
        """Give up what is beyond the limits, now and then; whether there are notices to send. Raises StoreError."""
        if now < self._next:
            return False
        gone = self._rows.turn(self._wall(), on_their_way())
        self._next = now if gone else now + EVERY_S
        self._ever = self._rows.ever()
        for line, count in gone.items():
            if now - self._told_at.get(line, float("-inf")) >= TOLD_EVERY_S:
                self._told_at[line] = now
                log.warning("line %s: %d results and refreshes are given up, too many wait for the broker", line, count)
        return bool(gone)

    def problem(self) -> str | None:
        """What was given up lately, one line."""
        lines = self._texts(recent=True)
        return "; ".join(lines) or None

    def notes(self) -> tuple[str, ...]:
        """What was given up longer ago, one line each."""
        return self._texts(recent=False)

    def _texts(self, recent: bool) -> tuple[str, ...]:
        limit = timestamp(self._wall() - PROBLEM_FOR)
        return tuple(
            f"line {line}: {found.messages} results and refreshes given up since {found.since}, too many waited"
            for line, found in sorted(self._ever.items())
            if (found.last >= limit) is recent
        )
