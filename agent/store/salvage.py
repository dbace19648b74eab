"""What can still be read of a damaged database: rows are read in ranges of row ids, around the broken pages."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.store.schema import metadata
from agent.store.values import repair_values

log = logging.getLogger(__name__)
SALVAGE_S = 60.0
RANGE = 1000
MOST_FAILURES = 50_000
# What alerts and the ledger need first: the time may not suffice for all inspections.
_ORDER = ("meta", "sequences", "outbox", "files", "runs", "events", "feedback", "inspections")
# Not `ages`: they speak of ids that a database which lost its last rows gives out once more.
_DANGLING = (
    "UPDATE inspections SET file_id = NULL WHERE file_id NOT IN (SELECT id FROM files)",
    "UPDATE events SET inspection_id = NULL WHERE inspection_id NOT IN (SELECT id FROM inspections)",
    "DELETE FROM feedback WHERE inspection_id NOT IN (SELECT id FROM inspections)",
    "DELETE FROM suspects WHERE file_id NOT IN (SELECT id FROM files)",
)


@dataclass(frozen=True)
class Salvaged:
    """Rows by table; `complete` is False where rows could not be read, or time ran out."""

    rows: dict[str, int]
    complete: bool


def salvage(damaged: Path, target: Path, clock: Callable[[], float] = time.monotonic) -> Salvaged:
    """Copy every readable row of `damaged` into the database at `target`, which has empty tables.

    Raises sqlite3.Error if the target cannot be written.
    """
    deadline = clock() + SALVAGE_S
    counts: dict[str, int] = {}
    complete = True
    # Foreign keys are off on a connection of our own: rows come back in any order, and some never.
    target_connection = sqlite3.connect(target, isolation_level=None)
    source = sqlite3.connect(damaged, isolation_level=None)
    # Text that is no UTF-8 any more is damage of its row only.
    source.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        target_connection.execute("PRAGMA synchronous=FULL")
        target_connection.execute("BEGIN IMMEDIATE")
        for table in (*_ORDER, *sorted(set(metadata.tables) - {*_ORDER, "ages"})):
            counts[table], whole = _copy_table(source, target_connection, table, lambda: clock() > deadline)
            complete = complete and whole
        repair_values(target_connection)
        for repair in _DANGLING:
            target_connection.execute(repair)
        target_connection.execute("COMMIT")
    finally:
        source.close()
        target_connection.close()
    return Salvaged(counts, complete)


def _copy_table(
    source: sqlite3.Connection, target: sqlite3.Connection, table: str, late: Callable[[], bool]
) -> tuple[int, bool]:
    try:
        known = {row[1] for row in target.execute(f"PRAGMA table_info({table})")}
        columns = [row[1] for row in source.execute(f"PRAGMA table_info({table})") if row[1] in known]
    except (sqlite3.Error, UnicodeDecodeError):
        # The definition of the table is what is broken.
        return 0, False
    if not columns:
        return 0, True
    reading = _Reading(source, table, columns, late)
    # A row that the tables of today refuse, for a value that damage has blanked, is passed over.
    put = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
    before = target.total_changes
    for rows in reading.ranges():
        target.executemany(put, rows)
    return target.total_changes - before, reading.complete


class _Reading:
    """One pass over a table that halves each range that cannot be read, down to single rows."""

    def __init__(self, source: sqlite3.Connection, table: str, columns: list[str], late: Callable[[], bool]) -> None:
        self._source = source
        # Not by an index, which may be what is broken.
        self._query = f"SELECT {', '.join(columns)} FROM {table} NOT INDEXED WHERE rowid BETWEEN ? AND ?"  # noqa: S608
        self._end = f"SELECT %s(rowid) FROM {table} NOT INDEXED"  # noqa: S608
        self._late = late
        self._failures = 0
        self.complete = True

    def ranges(self) -> Iterator[list[tuple[object, ...]]]:
        start, last = self._row_id("min", 1), self._row_id("max", None)
        if start is None:
            return
        while (last is None or start <= last) and not self._given_up():
            failures = self._failures
            found = False
            for rows in self._read(start, start + RANGE - 1):
                found = found or bool(rows)
                yield rows
            if last is None and not found and self._failures - failures >= RANGE:
                # A whole range without a readable row, at a broken end: nothing comes after it.
                return
            start += RANGE

    def _row_id(self, end: str, unknown: int | None) -> int | None:
        """The first or last row id; `unknown` where the page of that end is broken: it is then found by trying."""
        try:
            found: int | None = self._source.execute(self._end % end).fetchone()[0]
        except sqlite3.Error:
            self.complete = False
            return unknown
        return found

    def _read(self, low: int, high: int) -> Iterator[list[tuple[object, ...]]]:
        if self._given_up():
            return
        try:
            yield self._source.execute(self._query, (low, high)).fetchall()
            return
        except sqlite3.Error:
            self._failures += 1
            self.complete = False
        if low < high:
            middle = (low + high) // 2
            yield from self._read(low, middle)
            yield from self._read(middle + 1, high)

    def _given_up(self) -> bool:
        if self._failures < MOST_FAILURES and not self._late():
            return False
        self.complete = False
        return True
