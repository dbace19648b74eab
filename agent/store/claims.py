"""Which of several agents has a file of the folder that they empty together: one row each, on their common server.

A claim holds until its lease is over, by the clock of the server. Its holder renews it while the file is on its way;
what is not renewed is free for whoever finds it first, and a holder that comes back too late records nothing.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row

from agent.records import Disposition, FileState
from agent.store.engine import Database
from agent.store.ledger import LedgerEntry, suspect
from agent.store.schema import claims, files, runs

log = logging.getLogger(__name__)
# An agent whose store is slow for a while keeps what it has; one that died is missed for no longer.
LEASE_S = 20.0
RENEW_S = 4.0
# A box may see a file in a listing of its share for a minute after another has moved it away, and even open it.
STALE_LISTING_S = 120.0
_ENDED_AT_ONCE = 500
_NS = 1_000_000_000


@dataclass(frozen=True)
class FileKey:
    """What every agent calls a file: its path below the folder, its size and the second in which it was written.

    Finer times differ between the boxes of one share, and a file with two names would be judged twice. The path is a
    digest: the table names nobody, and an index has room for it.
    """

    line: str
    file: str
    size: int
    mtime_s: int

    @classmethod
    def of(cls, line: str, inner: str, size: int, mtime_ns: int) -> FileKey:
        """`inner`: the path below the folder, as the ledger writes it."""
        return cls(line, hashlib.sha256(inner.encode()).hexdigest(), size, mtime_ns // _NS)


class Claims:
    """Those of one run. `take`, `keep` and `take_over` are steps of a transaction of the ledger."""

    def __init__(
        self,
        database: Database,
        run: str,
        now: Callable[[], ColumnElement[datetime]] = func.now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now`: the time by the server; `monotonic`: only for when to renew."""
        self._database = database
        self._run = run
        self._now = now
        self._monotonic = monotonic
        self._lease = timedelta(seconds=LEASE_S)
        self._renew_at = float("-inf")

    def take(self, connection: Connection, key: FileKey, file_id: int) -> bool:
        """Claim a file that nobody has; false where somebody was faster."""
        claim = insert(claims).values(**self._row(key, file_id)).on_conflict_do_nothing()
        return connection.execute(claim.returning(claims.c.id)).first() is not None

    def keep(self, connection: Connection, key: FileKey, file_id: int) -> bool:
        """Claim a file that waits in this agent's own ledger, perhaps since an earlier run; false where it is another's
        now."""
        claim = insert(claims).values(**self._row(key, file_id))
        mine = and_(claims.c.agent == self._database.agent, claims.c.file_id == file_id)
        again = claim.on_conflict_do_update(index_elements=list(_IDENTITY), set_=self._held(), where=mine)
        return connection.execute(again.returning(claims.c.id)).first() is not None

    def is_known(self, connection: Connection, key: FileKey) -> bool:
        """Whether there is a claim on the file, of whomever, free or not."""
        return connection.execute(select(claims.c.id).where(_same(key)).limit(1)).first() is not None

    def take_over(self, connection: Connection, key: FileKey, entry: LedgerEntry) -> bool:
        """Where the claim on a file is free, its row of the ledger becomes this agent's: pending, or judged and to be
        moved. Nobody is waited for."""
        both = claims.join(files, files.c.id == claims.c.file_id)
        query = select(
            claims.c.id,
            claims.c.agent,
            claims.c.run,
            claims.c.file_id,
            (claims.c.expires < self._now()).label("over"),
            files.c.state,
            files.c.sha256,
            files.c.disposition,
        )
        locked = query.select_from(both).where(_same(key)).with_for_update(skip_locked=True)
        found = connection.execute(locked).first()
        if found is None or not self._is_free(found):
            return False
        mine: dict[str, object] = {"agent": self._database.agent, "path": entry.path, "mtime_ns": entry.mtime_ns}
        if found.state in _UNJUDGED:
            self._suspect(connection, found)
            mine |= {"state": FileState.PENDING, "sha256": ""}
        connection.execute(update(files).where(files.c.id == found.file_id).values(**mine))
        connection.execute(update(claims).where(claims.c.id == found.id).values(**self._held()))
        if found.agent != self._database.agent:
            log.info("line %s: file %d was agent %s's, which is gone or hangs", key.line, found.file_id, found.agent)
        return True

    def turn(self) -> None:
        """Once a second: every `RENEW_S` what this run works on is renewed, and what is long over is forgotten. Raises
        StoreError."""
        now = self._monotonic()
        if now < self._renew_at:
            return
        own = and_(claims.c.agent == self._database.agent, claims.c.run == self._run)
        at_work = or_(files.c.state == FileState.CLAIMED, files.c.disposition == Disposition.PENDING)
        busy = select(files.c.id).where(files.c.id == claims.c.file_id, at_work).exists()
        with self._database.transaction() as connection:
            connection.execute(update(claims).where(own, busy).values(expires=self._now() + self._lease))
        with self._database.transaction() as connection:
            connection.execute(delete(claims).where(claims.c.id.in_(self._ended())))
        self._renew_at = now + RENEW_S

    def _ended(self) -> Select[tuple[int]]:
        """Of files that have left the folder so long ago that no box can see them there."""
        over = claims.c.expires < self._now() - timedelta(seconds=STALE_LISTING_S)
        query = select(claims.c.id).join(files, files.c.id == claims.c.file_id)
        query = query.where(over, files.c.disposition == Disposition.FINISHED).limit(_ENDED_AT_ONCE)
        return query.with_for_update(of=claims, skip_locked=True)

    def _is_free(self, found: Row[tuple[object, ...]]) -> bool:
        if found.disposition == Disposition.FINISHED:
            # What is there under its name has not been told apart from a stale listing yet: see STALE_LISTING_S.
            return False
        own_and_waits = found.agent == self._database.agent and found.state == FileState.PENDING
        return own_and_waits or (bool(found.over) and (found.agent, found.run) != (self._database.agent, self._run))

    def _suspect(self, connection: Connection, found: Row[tuple[object, ...]]) -> None:
        """A file that its holder was at when it died may be the reason, and must not end one agent after another."""
        clean = connection.execute(select(runs.c.clean).where(runs.c.run == found.run)).scalar()
        if found.state == FileState.CLAIMED and not clean:
            suspect(connection, found.file_id, found.sha256)

    def _row(self, key: FileKey, file_id: int) -> dict[str, object]:
        identity = {"line": key.line, "file": key.file, "size": key.size, "mtime_s": key.mtime_s}
        return {**identity, "file_id": file_id, **self._held()}

    def _held(self) -> dict[str, object]:
        now = self._now()
        return {"agent": self._database.agent, "run": self._run, "claimed_at": now, "expires": now + self._lease}


_IDENTITY = (claims.c.line, claims.c.file, claims.c.size, claims.c.mtime_s)
_UNJUDGED = frozenset({FileState.PENDING, FileState.CLAIMED})


def _same(key: FileKey) -> ColumnElement[bool]:
    here = (key.line, key.file, key.size, key.mtime_s)
    return and_(*(column == value for column, value in zip(_IDENTITY, here, strict=True)))
