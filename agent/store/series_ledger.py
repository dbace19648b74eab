"""Which files of a hot folder are slices of one series: kept by keyed digest, and found again after their verdict."""

from __future__ import annotations

from collections.abc import Callable, Collection

from sqlalchemy import and_, select, update

from agent.records import EarlierFile, FileState
from agent.store.engine import Database
from agent.store.schema import files

_AT_ONCE = 500


class SeriesLedger:
    """Shares the writer's Database, whose lock makes it safe from any thread. All methods raise StoreError.

    A slice that waits is `pending`: at the next start its folder finds and groups it again.
    """

    def __init__(self, database: Database, keyed: Callable[[str, str], str]) -> None:
        """`keyed`: what stands for a line's digest of identifiers in the database, which those cannot be told from."""
        self._database = database
        self._keyed = keyed

    def hold(self, file_id: int, line: str, series: str, sha256: str) -> None:
        change = {"state": FileState.PENDING, "sha256": sha256, "series": self._keyed(line, series)}
        with self._database.transaction() as connection:
            connection.execute(update(files).where(files.c.id == file_id).values(**change))

    def claim(self, file_ids: Collection[int]) -> frozenset[int]:
        taken: set[int] = set()
        with self._database.transaction() as connection:
            for some in _parts(file_ids):
                pending = and_(files.c.id.in_(some), files.c.state == FileState.PENDING)
                found = connection.execute(select(files.c.id).where(pending)).scalars().all()
                connection.execute(update(files).where(pending).values(state=FileState.CLAIMED))
                taken |= set(found)
        return frozenset(taken)

    def release(self, file_ids: Collection[int]) -> None:
        with self._database.transaction() as connection:
            for some in _parts(file_ids):
                claimed = and_(files.c.id.in_(some), files.c.state == FileState.CLAIMED)
                connection.execute(update(files).where(claimed).values(state=FileState.PENDING))

    def earlier(self, line: str, series: str) -> tuple[EarlierFile, ...]:
        own = self._database.own(files)
        judged = files.c.state.in_((FileState.DONE, FileState.FAILED)) & files.c.inspection_id.is_not(None)
        same = and_(own, files.c.line == line, files.c.series == self._keyed(line, series), judged)
        columns = (files.c.id, files.c.path, files.c.size, files.c.sha256, files.c.inspection_id, files.c.reason)
        query = select(*columns).where(same)
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(files.c.id)).all()
        return tuple(EarlierFile(*row) for row in rows)


def _parts(file_ids: Collection[int]) -> list[list[int]]:
    """SQLite bounds how many values one statement may have."""
    whole = sorted(file_ids)
    return [whole[at : at + _AT_ONCE] for at in range(0, len(whole), _AT_ONCE)]
