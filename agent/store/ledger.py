"""Every file of a hot folder exactly once: pending -> claimed -> done | failed, or skipped.

A file is known by line, path, size, mtime and content: new content under an old name is a new row. It is entered
before it is opened, so a file that ends the agent is known at the next start, and after the second time is quarantined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, delete, insert, or_, select, update
from sqlalchemy.engine import Row

from agent.errors import StoreError
from agent.records import SUPERSEDED, Disposition, FileState
from agent.store.engine import Database
from agent.store.schema import files, runs, suspects

# A run that dies suspects the one file that a line was opening, and a little each that waited for its verdict: most of
# those were bystanders. Twice while it was opened is enough; a bystander would have to be there six times.
_OPENING = 3
_WAITING = 1
_QUARANTINE = 6
# Until a file was read nobody knows its digest.
_UNREAD = ""
# The reason of a file that was judged and that an operator wants judged again.
_REQUEUED = "requeued"
# Statements of each file are built once: to build one costs more than to run it.
_FIND = (
    select(files, suspects.c.points)
    .outerjoin(suspects, suspects.c.file_id == files.c.id)
    .where(
        files.c.line == bindparam("of_line"),
        files.c.path == bindparam("of_path"),
        files.c.size == bindparam("of_size"),
        files.c.mtime_ns == bindparam("of_mtime_ns"),
    )
    .order_by(files.c.id.desc())
    .limit(1)
)
_INSERT = insert(files)
_THIS = files.c.id == bindparam("of_id")
_WAITS = select(files.c.line, files.c.path, files.c.size, files.c.mtime_ns).where(
    _THIS, files.c.state == FileState.PENDING
)
_CLAIM = update(files).where(_THIS, files.c.state == FileState.PENDING).values(state=FileState.CLAIMED)
_OPENED = update(files).where(_THIS).values(sha256=bindparam("digest"))


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
    quarantined: bool = False


@dataclass(frozen=True)
class LedgerEntry:
    """A file as it has arrived."""

    line: str
    path: str
    size: int
    mtime_ns: int


class Ledger:
    """Shares the writer's Database, whose lock makes it safe from any thread. All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Claims of which nobody knows whether they were committed: the server was lost meanwhile.
        self._unsure: set[object] = set()
        self._revision = 0
        own = database.own(files)
        self._find, self._opened = _FIND.where(own), _OPENED.where(own)
        self._waiting = _WAITS.where(own).with_for_update()

    @property
    def revision(self) -> int:
        """Another number once an operator has asked for a file to be judged again."""
        return self._revision

    def find(self, line: str, path: str, size: int, mtime_ns: int) -> FileRow | None:
        """The latest row of this very file, without a look into it; None if it never came."""
        this = {"of_line": line, "of_path": path, "of_size": size, "of_mtime_ns": mtime_ns}
        with self._database.transaction() as connection:
            row = connection.execute(self._find, this).first()
        if row is None:
            return None
        found = _row(row, quarantined=(row.points or 0) >= _QUARANTINE)
        unsure = self._unsure & {found.id, (line, path, size, mtime_ns)}
        if unsure and found.state is FileState.CLAIMED:
            # It was committed, and whoever asked for it does not know.
            with self._database.transaction() as connection:
                connection.execute(update(files).where(files.c.id == found.id).values(state=FileState.PENDING))
            found = replace(found, state=FileState.PENDING)
        self._unsure -= unsure
        return found

    def has_content(self, line: str, sha256: str, but: int) -> bool:
        """Whether another file of the line than `but` with these bytes has its verdict, or waits for it."""
        same = and_(self._database.own(files), files.c.line == line, files.c.sha256 == sha256)
        done = and_(files.c.state == FileState.DONE, files.c.reason.is_distinct_from(_REQUEUED))
        known = or_(done, files.c.state == FileState.CLAIMED)
        with self._database.transaction() as connection:
            query = select(files.c.id).where(same, known, files.c.id != but).limit(1)
            return connection.execute(query).first() is not None

    def add_claimed(self, line: str, path: str, size: int, mtime_ns: int) -> int:
        """A file that has arrived, taken for judging at once; returns its id. One that was moved away and is here
        again gets a new row."""
        entry = LedgerEntry(line, path, size, mtime_ns)
        with self.adding(entry) as connection:
            return self.enter(connection, entry)

    @contextmanager
    def adding(self, entry: LedgerEntry) -> Iterator[Connection]:
        """The transaction in which a file is entered."""
        with (
            self._sure_of((entry.line, entry.path, entry.size, entry.mtime_ns)),
            self._database.transaction() as connection,
        ):
            yield connection

    def enter(self, connection: Connection, entry: LedgerEntry) -> int:
        """The row of a file that is taken for judging; returns its id."""
        row = {
            "agent": self._database.agent,
            "line": entry.line,
            "path": entry.path,
            "size": entry.size,
            "mtime_ns": entry.mtime_ns,
            "sha256": _UNREAD,
            "state": FileState.CLAIMED,
            "added": datetime.now(UTC),
        }
        key = connection.execute(_INSERT, row).inserted_primary_key
        assert key is not None
        return int(key[0])

    def claim(self, file_id: int, also: Callable[[Connection, LedgerEntry], bool] = lambda *_: True) -> bool:
        """Take a pending file for judging; False if it is not pending, or `also` does not agree."""
        with self._sure_of(file_id), self._database.transaction() as connection:
            found = connection.execute(self._waiting, {"of_id": file_id}).first()
            if found is None or not also(connection, LedgerEntry(*found)):
                return False
            connection.execute(_CLAIM, {"of_id": file_id})
            return True

    def opened(self, file_id: int, sha256: str) -> None:
        """A claimed file was read and decoded, or cannot be; it waits for its verdict."""
        with self._database.transaction() as connection:
            connection.execute(self._opened, {"of_id": file_id, "digest": sha256})

    def skip(self, file_id: int, sha256: str, reason: str) -> None:
        """A claimed file holds nothing to be judged, as a report among scans: it gets no verdict, and is moved."""
        change = {"state": FileState.SKIPPED, "sha256": sha256, "reason": reason, "disposition": Disposition.PENDING}
        with self._database.transaction() as connection:
            connection.execute(update(files).where(self._own(file_id)).values(**change))

    def release(self, file_id: int) -> None:
        """A claimed file cannot be judged yet. A row that says nothing is taken back: the file may grow or go."""
        mine = and_(self._own(file_id), files.c.state == FileState.CLAIMED)
        suspected = select(suspects.c.file_id).where(suspects.c.file_id == file_id).exists()
        with self._database.transaction() as connection:
            connection.execute(delete(files).where(mine, files.c.sha256 == _UNREAD, ~suspected))
            connection.execute(update(files).where(mine).values(state=FileState.PENDING))

    def recover(self) -> tuple[FileRow, ...]:
        """At start, after the run was entered: what was claimed is pending again, and suspected if the run before
        died; returns judged files whose move has to be redone."""
        claimed = and_(self._database.own(files), files.c.state == FileState.CLAIMED)
        last_but_one = (
            select(runs.c.clean).where(self._database.own(runs)).order_by(runs.c.id.desc()).limit(1).offset(1)
        )
        with self._database.transaction() as connection:
            before = connection.execute(last_but_one).scalar()
            if before is False:
                found = connection.execute(select(files.c.id, files.c.sha256).where(claimed)).all()
                for file_id, sha256 in found:
                    suspect(connection, file_id, sha256)
            # It is opened again, so its digest is unknown until then.
            connection.execute(update(files).where(claimed).values(state=FileState.PENDING, sha256=_UNREAD))
        return self.unmoved()

    def unmoved(self) -> tuple[FileRow, ...]:
        """Judged files that still lie in their hot folder."""
        return self._rows(files.c.disposition == Disposition.PENDING)

    def staying(self) -> tuple[FileRow, ...]:
        """Files that nothing will be heard of if somebody takes them away: left where they are, or not yet judged."""
        return self._rows(or_(files.c.disposition == Disposition.LEFT, files.c.state == FileState.PENDING))

    def forget(self, file_id: int) -> None:
        """A file of `staying` is not there any more; one without a verdict gets none, and is skipped as `gone`."""
        this = self._own(file_id)
        with self._database.transaction() as connection:
            waiting = and_(this, files.c.state == FileState.PENDING)
            connection.execute(update(files).where(waiting).values(state=FileState.SKIPPED, reason="gone"))
            connection.execute(update(files).where(this).values(disposition=Disposition.FINISHED))

    def judge_failed_again(self, line: str, most: int) -> int:
        """So many at most of the files that could not be judged and were left in the line's folder count as new when
        they are looked at next; returns how many did. `look_anew` is to follow."""
        left = and_(files.c.disposition == Disposition.LEFT, files.c.state == FileState.FAILED)
        mine = and_(self._database.own(files), files.c.line == line, left, files.c.reason.is_distinct_from(SUPERSEDED))
        with self._database.transaction() as connection:
            ids = connection.execute(select(files.c.id).where(mine).limit(most)).scalars().all()
            change = update(files).where(files.c.id.in_(ids)).values(disposition=Disposition.FINISHED)
            connection.execute(change)
        return len(ids)

    def superseded(self, line: str) -> dict[int, frozenset[str]]:
        """Bytes of files of series in whose place another was chosen: size -> digests."""
        same = and_(self._database.own(files), files.c.line == line, files.c.reason == SUPERSEDED)
        out: dict[int, frozenset[str]] = {}
        with self._database.transaction() as connection:
            for size, sha256 in connection.execute(select(files.c.size, files.c.sha256).where(same)):
                out[size] = out.get(size, frozenset()) | {sha256}
        return out

    def judge_again(self, line: str, path: str) -> bool:
        """A file that was left where it is counts as new when it is looked at next; false where there is none such."""
        left = and_(files.c.line == line, files.c.path == path, files.c.disposition == Disposition.LEFT)
        reason = case((files.c.state == FileState.DONE, _REQUEUED), else_=files.c.reason)
        with self._database.transaction() as connection:
            change = update(files).where(self._database.own(files), left)
            found = connection.execute(change.values(disposition=Disposition.FINISHED, reason=reason)).rowcount > 0
        self.look_anew()
        return found

    def forget_content(self, line: str, sha256: str) -> None:
        """The verdicts of these bytes no longer stand for other files of them."""
        same = and_(files.c.line == line, files.c.sha256 == sha256, files.c.state == FileState.DONE)
        with self._database.transaction() as connection:
            connection.execute(update(files).where(self._database.own(files), same).values(reason=_REQUEUED))

    def look_anew(self) -> None:
        """Whoever holds files for known looks at all of them once more."""
        self._revision += 1

    def _own(self, file_id: int) -> ColumnElement[bool]:
        """One file, unless it is another agent's by now."""
        return and_(self._database.own(files), files.c.id == file_id)

    @contextmanager
    def _sure_of(self, key: object) -> Iterator[None]:
        try:
            yield
        except StoreError:
            self._unsure.add(key)
            raise

    def _rows(self, where: ColumnElement[bool]) -> tuple[FileRow, ...]:
        with self._database.transaction() as connection:
            return tuple(
                map(
                    _row, connection.execute(select(files).where(self._database.own(files), where).order_by(files.c.id))
                )
            )


def suspect(connection: Connection, file_id: int, sha256: str) -> None:
    """A file that was claimed when its agent died; `sha256` as it stands in its row."""
    points = _OPENING if sha256 == _UNREAD else _WAITING
    same = suspects.c.file_id == file_id
    change = update(suspects).where(same).values(points=suspects.c.points + points)
    if not connection.execute(change).rowcount:
        connection.execute(insert(suspects).values(file_id=file_id, points=points))


def _row(row: Row[tuple[object, ...]], quarantined: bool = False) -> FileRow:
    disposition = None if row.disposition is None else Disposition(row.disposition)
    state = FileState(row.state)
    return FileRow(
        row.id, row.line, row.path, row.size, row.mtime_ns, row.sha256, state, row.reason, disposition, quarantined
    )
