"""What the broker said of rows, kept until the store has taken it: an error there must not send a row again."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from agent.store.outbox import Parked

log = logging.getLogger(__name__)
# Rows marked in one transaction, which waits for the disk.
MARK = 128
MARK_AFTER_S = 0.2
COUNT_PERIOD_S = 1.0


class MarkedRows(Protocol):
    """The part of the outbox that is needed."""

    def mark_sent(self, ids: Collection[int]) -> None: ...

    def park(self, ids: Collection[int], reason: str, held: bool) -> None: ...

    def release(self, held: bool) -> None: ...

    def parked(self) -> Parked: ...


@dataclass(frozen=True)
class _Reason:
    """Why a row is parked."""

    text: str
    held: bool = False


class Outcomes:
    """One thread uses it; any may read `parked`."""

    def __init__(self, rows: MarkedRows) -> None:
        self._rows = rows
        self._unmarked: set[int] = set()
        self._unmarked_since = 0.0
        self._unparked: dict[int, _Reason] = {}
        self._count_at: float | None = None
        self.parked = Parked()

    @property
    def settled(self) -> bool:
        """The store knows everything."""
        return not (self._unmarked or self._unparked)

    @property
    def ids(self) -> set[int]:
        """Rows of which the store still says that they wait."""
        return self._unmarked | self._unparked.keys()

    def sent(self, row_id: int, now: float) -> None:
        """The broker has it."""
        self._unmarked_since = self._unmarked_since if self._unmarked else now
        self._unmarked.add(row_id)

    def refused(self, row_id: int, text: str, held: bool = False) -> None:
        """The broker does not take it; `held`: trying it again does harm."""
        self._unparked[row_id] = _Reason(text, held)

    def release(self, held: bool, now: float) -> None:
        """At a new connection: what is parked is tried again, the held ones only if `held`. Raises StoreError."""
        self._rows.release(held)
        # Most of them are refused again within that time.
        self._count_at = now + COUNT_PERIOD_S

    def record(self, now: float, more: bool) -> None:
        """Tell the store: in batches while there is `more` to send, else at once. Raises StoreError."""
        for reason in sorted(set(self._unparked.values()), key=lambda reason: reason.text):
            ids = {row_id for row_id, found in self._unparked.items() if found == reason}
            self._rows.park(ids, reason.text, reason.held)
            log.warning("%d messages parked: %s", len(ids), reason.text)
            self._unparked = {row_id: found for row_id, found in self._unparked.items() if row_id not in ids}
            self._count_at = now if self._count_at is None else self._count_at
        wait = len(self._unmarked) < MARK and now - self._unmarked_since < MARK_AFTER_S
        if self._unmarked and not (wait and more):
            self._rows.mark_sent(self._unmarked)
            self._unmarked.clear()
        if self._count_at is not None and now >= self._count_at:
            self.parked = self._rows.parked()
            self._count_at = None
