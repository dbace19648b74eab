"""Judged files that are still in their hot folder are moved later, a few at a time: thousands of them on a slow share
must not keep the thread that does it from its other duties."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping

from agent.errors import StoreError
from agent.pipeline.lines import Line
from agent.pipeline.moves import move_again
from agent.privacy.references import References
from agent.records import Inspection
from agent.store.ledger import FileRow, Ledger
from agent.store.writer import Writer

log = logging.getLogger(__name__)
# A folder that has refused so many files refuses the others, too: they are tried in the next round.
MOST_FAILURES = 20


class LateMoves:
    """Owned by one thread. `stuck`: line -> judged files that were tried and could not leave its folder."""

    def __init__(
        self,
        writer: Writer,
        ledger: Ledger,
        lines: Mapping[str, Line],
        references: References | None = None,
        result_of: Callable[[int], Inspection | None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """See `move_again`."""
        self._writer = writer
        self._ledger = ledger
        self._lines = lines
        self._references = references
        self._result_of = result_of
        self._monotonic = monotonic
        self._left: dict[str, deque[FileRow]] = {}
        self._failures = Counter[str]()
        self._tried: dict[str, int] = {}
        self._seen: frozenset[int] = frozenset()
        self.stuck: Mapping[str, int] = {}

    def add(self, rows: tuple[FileRow, ...]) -> None:
        """Another round, of these."""
        self._left = {}
        # First those that the last round did not come to: what fails by itself must not keep the others for ever.
        for row in sorted(rows, key=lambda row: (row.id <= self._tried.get(row.line, 0), row.id)):
            self._left.setdefault(row.line, deque()).append(row)
        self._failures = Counter()

    def look(self) -> None:
        """Remember what lies there judged. The recorder is moving some of it just now; what is left of it when
        `go_on` is called next is late. Raises StoreError."""
        self._seen = frozenset(row.id for row in self._ledger.unmoved())
        if not self._seen:
            self._left, self.stuck = {}, {}

    def go_on(self, seconds: float) -> None:
        """Move for so long at most. Raises StoreError."""
        if self._seen:
            seen, self._seen = self._seen, frozenset()
            self.add(tuple(row for row in self._ledger.unmoved() if row.id in seen))
        until = self._monotonic() + seconds
        while rows := self._turn():
            self._tried |= {row.line: row.id for row in rows}
            try:
                self._failures += move_again(self._writer, rows, self._lines, self._references, self._result_of)
            except (StoreError, OSError):
                # This round is over; what was stuck before it counts as stuck until the next.
                self._left = {}
                raise
            if self._monotonic() >= until:
                return
        if self._left:
            # Of those that were not tried again nobody knows better.
            waiting = Counter({line: len(left) for line, left in self._left.items()})
            self._left, self.stuck = {}, self._failures + waiting

    def _turn(self) -> tuple[FileRow, ...]:
        """One file of each line that may still succeed, so that a folder of thousands keeps no other waiting."""
        open_ = (left for line, left in self._left.items() if self._failures[line] < MOST_FAILURES)
        return tuple(left.popleft() for left in open_ if left)
