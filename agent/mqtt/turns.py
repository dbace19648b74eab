"""Which row goes out next: lines take turns, each line's rows in order; one that had nothing to send comes first.

So a fresh alert overtakes the backlog of every other line. Behind the backlog of its own it waits: there, order counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Protocol

from agent.records import Message

# Rows read in one transaction.
READ = 24
# Without word of something new the store is not asked again before: each PUBACK is a turn, and finds nothing.
QUIET_S = 0.15


class WaitingRows(Protocol):
    """The part of the outbox that is needed."""

    def pending(self, limit: int, exclude_ids: Collection[int] = ()) -> tuple[Message, ...]: ...


class Turns:
    """Rows that are read and not handed over yet. One thread uses it; any may call `look_again`."""

    def __init__(self, rows: WaitingRows) -> None:
        self._rows = rows
        self._ready: deque[Message] = deque()
        self._look_again = False
        self._quiet_until = float("-inf")

    def look_again(self) -> None:
        """Something was committed: it may be of a line that has nothing ready."""
        self._look_again = True

    def next(self, taken: Collection[int], now: float) -> Message | None:
        """The row to send; it stays until `sent`. `taken`: rows on their way. Raises StoreError."""
        if not self._ready:
            if now < self._quiet_until and not self._look_again:
                return None
            self._look_again = False
            rows = self._rows.pending(READ, taken)
            self._ready.extend(rows)
            self._quiet_until = now + QUIET_S if len(rows) < READ else float("-inf")
        elif self._look_again:
            self._look_again = False
            self._let_in({*taken, *(message.id for message in self._ready)})
        return self._ready[0] if self._ready else None

    def sent(self) -> None:
        """The row that `next` gave is handed over, or never will be."""
        self._ready.popleft()

    def forget(self) -> None:
        """Rows that were handed over, and are lost, come before these."""
        self._ready.clear()
        self._look_again = True

    @property
    def more(self) -> bool:
        """There are rows to send."""
        return bool(self._ready)

    @property
    def ids(self) -> set[int]:
        return {message.id for message in self._ready}

    def _let_in(self, taken: Collection[int]) -> None:
        here = {_stream(message) for message in self._ready}
        newcomers: list[Message] = []
        for message in self._rows.pending(READ, taken):
            if _stream(message) not in here:
                # Only its oldest: the others take turns.
                here.add(_stream(message))
                newcomers.append(message)
        self._ready.extendleft(reversed(newcomers))


def _stream(message: Message) -> str:
    """The topics of a line, whose messages are numbered together."""
    return message.topic.rpartition("/")[0]
