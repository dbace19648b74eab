"""What is given up when too many messages wait: results and refreshes, oldest first, counted and announced.

Alerts, the begin and the end of an event, never are. A message given up leaves a gap in the numbers of its line; a
notice, which is a numbered message itself, says which numbers are missing for this reason.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Text, and_, cast, delete, func, insert, or_, select, update

from agent.records import StepType, timestamp
from agent.store.engine import Database
from agent.store.outbox import Draft, put
from agent.store.schema import meta, outbox

# What a turn goes down to once a limit is exceeded: else each message over it would cost a notice.
LOW = 0.9
ROWS_A_TURN = 2000
RANGES_A_NOTICE = 100
KEY = "given_up"

Ranges = Sequence[tuple[int, int]]
"""First and last number of each, both included."""


@dataclass(frozen=True)
class EvictionLimits:
    """Most results and refreshes that wait for the broker, and for how long."""

    rows: int
    body_bytes: int
    age: timedelta


@dataclass(frozen=True)
class GivenUp:
    """Of a line, ever: how many, and when the first and the last (RFC 3339)."""

    messages: int
    since: str
    last: str


_SIZE = func.length(cast(outbox.c.body, Text))
_REFRESH = and_(outbox.c.topic.like("%/event"), outbox.c.body["type"].as_string() == StepType.UPDATE.value)
_MAY_GO = and_(outbox.c.sent.is_(None), or_(outbox.c.topic.like("%/result"), _REFRESH))


class Eviction:
    """Shares the writer's Database. `notice(line, count, ranges)` drafts what is announced."""

    def __init__(
        self, database: Database, run: str, limits: EvictionLimits, notice: Callable[[str, int, Ranges], Draft]
    ) -> None:
        self._database = database
        self._run = run
        self._limits = limits
        self._notice = notice
        self._may_go = and_(database.own(outbox), _MAY_GO)
        self._key = database.key(KEY)

    def turn(self, now: datetime, keep_ids: Collection[int] = ()) -> dict[str, int]:
        """Give up what is beyond the limits at `now` (UTC) and announce it; returns how many by line.

        At most ROWS_A_TURN at once: call it again while it returns anything. `keep_ids`: rows that are on their way.
        Raises StoreError.
        """
        with self._database.transaction() as connection:
            gone = self._choose(connection, now, keep_ids)
            if not gone:
                return {}
            ids = [row_id for rows in gone.values() for row_id, _ in rows]
            connection.execute(delete(outbox).where(outbox.c.id.in_(ids)))
            for line, rows in gone.items():
                ranges = ranges_of(seq for _, seq in rows)
                for some in (ranges[at : at + RANGES_A_NOTICE] for at in range(0, len(ranges), RANGES_A_NOTICE)):
                    count = sum(last - first + 1 for first, last in some)
                    put(connection, self._database.agent, self._run, [self._notice(line, count, some)])
            counts = {line: len(rows) for line, rows in gone.items()}
            _write(connection, self._key, _added(_read(connection, self._key), counts, timestamp(now)))
        return counts

    def ever(self) -> Mapping[str, GivenUp]:
        """By line. Raises StoreError."""
        with self._database.transaction() as connection:
            return _read(connection, self._key)

    def _choose(
        self, connection: Connection, now: datetime, keep_ids: Collection[int]
    ) -> dict[str, list[tuple[int, int]]]:
        """Line -> id and number of what goes."""
        limits = self._limits
        count, size, oldest = connection.execute(
            select(func.count(), func.coalesce(func.sum(_SIZE), 0), func.min(outbox.c.committed)).where(self._may_go)
        ).one()
        too_many, too_large = count > limits.rows, size > limits.body_bytes
        too_old = oldest is not None and oldest < now.astimezone(UTC) - limits.age
        if not (too_many or too_large or too_old):
            return {}
        old = now.astimezone(UTC) - limits.age * LOW
        # The newest row stays: SQLite would give its id out once more.
        newest = select(func.max(outbox.c.id)).scalar_subquery()
        query = (
            select(outbox.c.id, outbox.c.line, outbox.c.message_seq, outbox.c.committed, _SIZE.label("size"))
            .where(self._may_go, outbox.c.id < newest)
            .order_by(outbox.c.id)
            .limit(ROWS_A_TURN)
        )
        gone: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for row in connection.execute(query):
            over = (too_many and count > limits.rows * LOW) or (too_large and size > limits.body_bytes * LOW)
            if not over and not (too_old and row.committed < old):
                break
            if row.id in keep_ids:
                continue
            count, size = count - 1, size - row.size
            gone[row.line].append((row.id, row.message_seq))
        return dict(gone)


def ranges_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending numbers as runs without a gap."""
    out: list[tuple[int, int]] = []
    for number in numbers:
        if out and out[-1][1] == number - 1:
            out[-1] = (out[-1][0], number)
        else:
            out.append((number, number))
    return out


def _added(before: Mapping[str, GivenUp], counts: Mapping[str, int], now: str) -> dict[str, GivenUp]:
    out = dict(before)
    for line, count in counts.items():
        old = out.get(line, GivenUp(0, now, now))
        out[line] = GivenUp(old.messages + count, old.since, now)
    return out


def _read(connection: Connection, key: str) -> dict[str, GivenUp]:
    text = connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar()
    return {line: GivenUp(*found) for line, found in json.loads(text or "{}").items()}


def _write(connection: Connection, key: str, given_up: Mapping[str, GivenUp]) -> None:
    text = json.dumps({line: [one.messages, one.since, one.last] for line, one in given_up.items()})
    if connection.execute(update(meta).where(meta.c.key == key).values(value=text)).rowcount == 0:
        connection.execute(insert(meta).values(key=key, value=text))
