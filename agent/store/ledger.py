"""Every file of a hot folder exactly once: pending -> claimed -> done | failed, or skipped.

A file is known by line, path, size, mtime and content: new content under an old name is a new row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, insert, select, update
from sqlalchemy.engine import Row

from agent.records import Disposition, FileState
from agent.store.engine import Database
from agent.store.schema import files


@dataclass(frozen=True)
class FileRow:
    """One file; `disposition` pending means that it is judged and still has to be moved."""

    id: int
    line: str
    path: str
    size: int
    mtime_ns: int
    sha256: str
    state: FileState
    reason: str | None
    disposition: Disposition | None


class Ledger:
    """Shares the writer's Database, whose lock makes it safe from any thread. All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, line: str, path: str, size: int, mtime_ns: int) -> FileRow | None:
        """The latest row of this very file, without a look into it; None if it never came."""
        same = and_(files.c.line == line, files.c.path == path, files.c.size == size, files.c.mtime_ns == mtime_ns)
        with self._database.transaction() as connection:
            row = connection.execute(select(files).where(same).order_by(files.c.id.desc()).limit(1)).first()
        return None if row is None else _row(row)

    def add_pending(self, line: str, path: str, size: int, mtime_ns: int, sha256: str) -> int:
        """A file that has arrived; returns its id. One that was moved away and is here again gets a new row."""
        row = {
            "line": line,
            "path": path,
            "size": size,
            "mtime_ns": mtime_ns,
            "sha256": sha256,
            "state": FileState.PENDING,
            "added": datetime.now(UTC),
        }
        with self._database.transaction() as connection:
            key = connection.execute(insert(files).values(row)).inserted_primary_key
        assert key is not None
        return int(key[0])

    def claim(self, file_id: int) -> bool:
        """Take a pending file for judging; False if it is not pending."""
        pending = and_(files.c.id == file_id, files.c.state == FileState.PENDING)
        with self._database.transaction() as connection:
            change = update(files).where(pending).values(state=FileState.CLAIMED)
            return connection.execute(change).rowcount == 1

    def recover(self) -> tuple[FileRow, ...]:
        """At start: what was claimed is pending again; returns judged files whose move has to be redone."""
        with self._database.transaction() as connection:
            claimed = files.c.state == FileState.CLAIMED
            connection.execute(update(files).where(claimed).values(state=FileState.PENDING))
        return self.unmoved()

    def unmoved(self) -> tuple[FileRow, ...]:
        """Judged files that still lie in their hot folder."""
        return self._rows(files.c.disposition == Disposition.PENDING)

    def _rows(self, where: ColumnElement[bool]) -> tuple[FileRow, ...]:
        with self._database.transaction() as connection:
            return tuple(map(_row, connection.execute(select(files).where(where).order_by(files.c.id))))


def _row(row: Row[tuple[object, ...]]) -> FileRow:
    disposition = None if row.disposition is None else Disposition(row.disposition)
    state = FileState(row.state)
    return FileRow(row.id, row.line, row.path, row.size, row.mtime_ns, row.sha256, state, row.reason, disposition)
