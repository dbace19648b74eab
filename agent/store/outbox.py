"""Messages that wait for the broker: a row is written with what it tells of and marked sent on PUBACK only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice, zip_longest
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Integer, and_, bindparam, func, insert, select, update
from sqlalchemy.engine import Row

from agent.records import Message
from agent.store.engine import Database
from agent.store.schema import meta, outbox, sequences


@dataclass(frozen=True)
class Draft:
    """A message to be. `body` says nothing of its identity: that is the row's, and stamped on when it is read.

    Its id is born with it: written again, after a commit of which nobody knows, it is the same message.
    """

    line: str
    topic: str
    body: Mapping[str, Any]
    message_id: str = field(default_factory=lambda: str(uuid4()))


# Statements are built once: to build one costs more than to run it.
_KNOWN = select(outbox.c.message_id).where(outbox.c.message_id.in_(bindparam("ids", expanding=True)))
_INSERT = insert(outbox)
# Kept apart from the outbox rows, which retention deletes once they are sent.
_COUNT_ON = (
    update(sequences)
    .where(sequences.c.agent == bindparam("of_agent"), sequences.c.line == bindparam("of_line"))
    .values(last=sequences.c.last + bindparam("more"))
    .returning(sequences.c.last)
)
_START_COUNT = insert(sequences)
_MARK_SENT = (
    update(outbox).where(outbox.c.id.in_(bindparam("ids", expanding=True))).values(sent=bindparam("now"), parked=None)
)


def put(connection: Connection, agent: str, run: str, drafts: Sequence[Draft]) -> None:
    """Write drafts as outbox rows in this transaction, in order, each with the next number of its line.

    Those that are written already are left as they are.
    """
    if not drafts:
        return
    known = set(connection.execute(_KNOWN, {"ids": [draft.message_id for draft in drafts]}).scalars())
    new = list({draft.message_id: draft for draft in drafts if draft.message_id not in known}.values())
    if not new:
        return
    numbers = {
        line: _next_numbers(connection, agent, line, count) for line, count in Counter(d.line for d in new).items()
    }
    rows = [
        {
            "agent": agent,
            "message_id": draft.message_id,
            "line": draft.line,
            "message_seq": next(numbers[draft.line]),
            "topic": draft.topic,
            "body": dict(draft.body),
            "run": run,
            "committed": datetime.now(UTC),
            "attempts": 0,
        }
        for draft in new
    ]
    connection.execute(_INSERT, rows)


def _next_numbers(connection: Connection, agent: str, line: str, count: int) -> Iterator[int]:
    """The next `count` numbers of the line."""
    own = {"of_agent": agent, "of_line": line}
    last = connection.execute(_COUNT_ON, {**own, "more": count}).scalar()
    if last is None:
        connection.execute(_START_COUNT, {"agent": agent, "line": line, "last": count})
        last = count
    return iter(range(int(last) - count + 1, int(last) + 1))


@dataclass(frozen=True)
class Parked:
    """How many messages the broker does not take, and of the newest its line and the reason."""

    count: int = 0
    line: str | None = None
    reason: str | None = None


PARKED_SINCE = 5
"""The version of the schema that came with `parked`."""

_UNSENT = outbox.c.sent.is_(None)
_WAITING = and_(_UNSENT, outbox.c.parked.is_(None))
_PARKED = and_(_UNSENT, outbox.c.parked.is_not(None))


class Outbox:
    """The sender's side. Shares the writer's Database, whose lock makes it safe from the sender's thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # A database of an earlier version, which is read before its upgrade, has parked nothing.
        self._parks = database.schema >= PARKED_SINCE
        own = database.own(outbox)
        self._waiting = and_(own, _WAITING if self._parks else _UNSENT)
        self._parked = and_(own, _PARKED)
        stream_id = select(meta.c.value).where(meta.c.key == database.key("stream_id")).scalar_subquery()
        self._pending = (
            select(outbox, stream_id.label("stream_id"))
            .where(self._waiting, outbox.c.id.not_in(bindparam("taken", expanding=True)))
            .order_by(outbox.c.id)
            .limit(bindparam("most", type_=Integer))
        )

    def pending(self, limit: int, exclude_ids: Collection[int] = ()) -> tuple[Message, ...]:
        """Waiting messages without those of `exclude_ids`: of every line in turn, each line's oldest first.

        So the backlog of one line never stands before the alert of another. Raises StoreError.
        """
        taken = {"taken": list(exclude_ids)}
        with self._database.transaction() as connection:
            # Nearly always these are all there is: one look, however many lines there are.
            rows = connection.execute(self._pending, {**taken, "most": limit + 1}).all()
            found: Sequence[Sequence[Row[Any]]]
            if len(rows) <= limit:
                found = _by_line(rows)
            else:
                lines = _waiting_lines(connection, self._database.agent, self._waiting)
                share = {**taken, "most": -(-limit // max(1, len(lines)))}
                of_line = self._pending.where(outbox.c.line == bindparam("of_line"))
                found = [connection.execute(of_line, {**share, "of_line": line}).all() for line in lines]
        in_turn = (row for turn in zip_longest(*found) for row in turn if row is not None)
        return tuple(map(_message, islice(in_turn, limit)))

    def mark_sent(self, ids: Collection[int]) -> None:
        """The broker has acknowledged these rows. Raises StoreError."""
        if ids:
            with self._database.transaction() as connection:
                connection.execute(_MARK_SENT, {"ids": list(ids), "now": datetime.now(UTC)})

    def park(self, ids: Collection[int], reason: str, held: bool) -> None:
        """The broker does not take these rows: they stay, and stand in nobody's way until `release`.

        `held`: trying them again does harm, so that only `release(held=True)` does. Raises StoreError.
        """
        if ids:
            with self._database.transaction() as connection:
                change = update(outbox).where(outbox.c.id.in_(list(ids)), _UNSENT)
                connection.execute(change.values(parked=reason, held=held, attempts=outbox.c.attempts + 1))

    def release(self, held: bool) -> None:
        """Parked rows wait again, the held ones only if `held`. Raises StoreError."""
        with self._database.transaction() as connection:
            change = update(outbox).where(self._parked)
            if not held:
                change = change.where(outbox.c.held.is_(False))
            connection.execute(change.values(parked=None, held=False))

    def parked(self) -> Parked:
        """What the broker does not take. Raises StoreError."""
        if not self._parks:
            return Parked()
        with self._database.transaction() as connection:
            count = connection.execute(select(func.count()).select_from(outbox).where(self._parked)).scalar_one()
            newest = select(outbox.c.line, outbox.c.parked).where(self._parked).order_by(outbox.c.id.desc()).limit(1)
            row = connection.execute(newest).first()
        return Parked() if row is None else Parked(int(count), row.line, row.parked)

    def count(self) -> int:
        """Messages that wait, without the parked ones. Raises StoreError."""
        with self._database.transaction() as connection:
            return int(connection.execute(select(func.count()).select_from(outbox).where(self._waiting)).scalar_one())

    def oldest(self) -> datetime | None:
        """When the oldest waiting message was committed (UTC). Raises StoreError."""
        with self._database.transaction() as connection:
            query = select(outbox.c.committed).where(self._waiting).order_by(outbox.c.id).limit(1)
            return connection.execute(query).scalar()


def _by_line(rows: Sequence[Row[Any]]) -> list[list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(row.line, []).append(row)
    return [found[line] for line in sorted(found)]


def _waiting_lines(connection: Connection, agent: str, waiting: ColumnElement[bool]) -> tuple[str, ...]:
    """A step on the index for each line there ever was, however many messages wait."""
    # Asked for the lines of the outbox itself, SQLite walks through all that wait, in each turn of the sender.
    first = select(outbox.c.id).where(waiting, outbox.c.line == sequences.c.line).order_by(outbox.c.id).limit(1)
    mine = and_(sequences.c.agent == agent, first.scalar_subquery().is_not(None))
    known = tuple(connection.execute(select(sequences.c.line).where(mine).order_by(sequences.c.line)).scalars())
    # A line whose sequence was lost with a damaged page comes after all others, but it comes.
    return known or tuple(connection.execute(select(outbox.c.line).where(waiting).distinct()).scalars())


def _message(row: Row[Any]) -> Message:
    """Identity stands after the schema. Where an earlier version has stored it in the body, the body's is kept."""
    identity = {"message_id": row.message_id, "stream_id": row.stream_id, "message_seq": row.message_seq}
    body = {"schema": row.body.get("schema"), **identity, **row.body}
    return Message(row.id, row.message_id, row.topic, body, row.committed, row.run, row.attempts)
