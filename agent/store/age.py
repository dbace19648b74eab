"""How old rows are, in the agent's own seconds: no wall clock, wrong or put right, makes a fresh row old.

The age of a database grows with the monotonic clock while the agent runs. Now and then the last ids of the tables are
noted beside it, and whatever has an id up to a note is at least as old as the note. Time in which the agent was off is
known from the wall clock only, so it counts for at most `OFF_AT_MOST_S` a start, and a tenth of the time kept.
Ids must never be given out twice for this, so the last row of a table is never deleted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Table, and_, delete, func, insert, select, update

from agent.store.engine import Database
from agent.store.schema import ages, audit, events, files, inspections, meta, outbox

DAY_S = 86_400.0
OFF_AT_MOST_S = 3 * DAY_S
SAVE_S = 60.0
NOTES = 100
AGE_KEY = "age"
_TABLES: Mapping[str, Table] = {
    "inspection_id": inspections, "event_id": events, "outbox_id": outbox, "file_id": files, "audit_id": audit,
}  # fmt: skip


@dataclass(frozen=True)
class Horizon:
    """Rows up to these ids have reached an age."""

    inspection_id: int = 0
    event_id: int = 0
    outbox_id: int = 0
    file_id: int = 0
    audit_id: int = 0


class DatabaseAge:
    """Owned by one thread. All methods raise StoreError."""

    def __init__(self, database: Database, shortest_s: float, longest_s: float) -> None:
        """How long rows are kept; notes are a hundredth of the shortest time apart, but not under a minute."""
        self._database = database
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._age_s: float | None = None
        self._seen = 0.0
        self._saved = 0.0

    def step(self, now: float, wall: datetime) -> None:
        """It is `now` (monotonic s), and `wall` by the clock on the wall."""
        if self._age_s is None:
            self._age_s, self._seen = self._read(wall), now
            self._save(now, wall)
            return
        self._age_s += max(0.0, now - self._seen)
        self._seen = now
        if now - self._saved >= SAVE_S:
            self._save(now, wall)

    def horizon(self, seconds: float) -> Horizon:
        """What is at least so old."""
        age = (self._age_s or 0.0) - seconds
        query = select(ages).where(self._database.own(ages), ages.c.age_s <= age).order_by(ages.c.age_s.desc()).limit(1)
        with self._database.transaction() as connection:
            row = connection.execute(query).first()
        return Horizon() if row is None else Horizon(**{name: getattr(row, name) for name in _TABLES})

    def _read(self, wall: datetime) -> float:
        with self._database.transaction() as connection:
            value = connection.execute(select(meta.c.value).where(meta.c.key == self._database.key(AGE_KEY))).scalar()
        if value is None:
            return 0.0
        stored = json.loads(value)
        off = wall.timestamp() - float(stored["wall"])
        return float(stored["age_s"]) + min(max(off, 0.0), OFF_AT_MOST_S, self._shortest_s / 10)

    def _save(self, now: float, wall: datetime) -> None:
        value = json.dumps({"age_s": self._age_s, "wall": wall.timestamp()})
        with self._database.transaction() as connection:
            if (
                connection.execute(
                    update(meta).where(meta.c.key == self._database.key(AGE_KEY)).values(value=value)
                ).rowcount
                == 0
            ):
                connection.execute(insert(meta).values(key=self._database.key(AGE_KEY), value=value))
            last = connection.execute(select(func.max(ages.c.age_s)).where(self._database.own(ages))).scalar()
            assert self._age_s is not None
            if last is None or self._age_s - last >= max(SAVE_S, self._shortest_s / NOTES):
                ids = {column: _last_id(connection, table) for column, table in _TABLES.items()}
                connection.execute(insert(ages).values(agent=self._database.agent, age_s=self._age_s, **ids))
                self._forget(connection)
        self._saved = now

    def _forget(self, connection: Connection) -> None:
        """Of the notes that are old enough only the latest is of use."""
        assert self._age_s is not None
        old = and_(self._database.own(ages), ages.c.age_s <= self._age_s - self._longest_s)
        useful = connection.execute(select(func.max(ages.c.id)).where(old)).scalar()
        if useful is not None:
            connection.execute(delete(ages).where(old, ages.c.id != useful))


def _last_id(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.max(table.c.id))).scalar() or 0)
