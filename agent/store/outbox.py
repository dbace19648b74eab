"""Messages that wait for the broker: a row is written with what it tells of and marked sent on PUBACK only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, func, insert, select, update

from agent.records import Message
from agent.store.engine import Database
from agent.store.schema import meta, outbox, sequences


@dataclass(frozen=True)
class Identity:
    """What a message is called: `message_id` is the dedupe key, `message_seq` is gap-free per stream and line."""

    message_id: str
    stream_id: str
    message_seq: int


@dataclass(frozen=True)
class Draft:
    """A message to be: `build` is called inside the transaction that gives it its identity."""

    line: str
    topic: str
    build: Callable[[Identity], Mapping[str, Any]]


def put(connection: Connection, run: str, drafts: Sequence[Draft]) -> tuple[str, ...]:
    """Write drafts as outbox rows in this transaction, in order; returns their message ids."""
    if not drafts:
        return ()
    stream_id = connection.execute(select(meta.c.value).where(meta.c.key == "stream_id")).scalar_one()
    ids = []
    for draft in drafts:
        identity = Identity(str(uuid4()), stream_id, _next_seq(connection, draft.line))
        row = {
            "message_id": identity.message_id,
            "line": draft.line,
            "message_seq": identity.message_seq,
            "topic": draft.topic,
            "body": dict(draft.build(identity)),
            "run": run,
            "committed": datetime.now(UTC),
            "attempts": 0,
        }
        connection.execute(insert(outbox).values(row))
        ids.append(identity.message_id)
    return tuple(ids)


def _next_seq(connection: Connection, line: str) -> int:
    # Kept apart from the outbox rows, which retention deletes once they are sent.
    last = connection.execute(select(sequences.c.last).where(sequences.c.line == line)).scalar()
    if last is None:
        connection.execute(insert(sequences).values(line=line, last=1))
        return 1
    connection.execute(update(sequences).where(sequences.c.line == line).values(last=last + 1))
    return int(last) + 1


class Outbox:
    """The sender's side. Shares the writer's Database, whose lock makes it safe from the sender's thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pending(self, limit: int, exclude_ids: Collection[int] = ()) -> tuple[Message, ...]:
        """Unsent messages, oldest first, without those of `exclude_ids`. Raises StoreError."""
        query = select(outbox).where(outbox.c.sent.is_(None)).order_by(outbox.c.id).limit(limit)
        if exclude_ids:
            query = query.where(outbox.c.id.not_in(list(exclude_ids)))
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return tuple(Message(r.id, r.message_id, r.topic, r.body, r.committed, r.run, r.attempts) for r in rows)

    def mark_sent(self, ids: Collection[int]) -> None:
        """The broker has acknowledged these rows. Raises StoreError."""
        if ids:
            with self._database.transaction() as connection:
                connection.execute(update(outbox).where(outbox.c.id.in_(list(ids))).values(sent=datetime.now(UTC)))

    def mark_failed(self, ids: Collection[int]) -> None:
        """The broker has refused these rows; they stay. Raises StoreError."""
        if ids:
            with self._database.transaction() as connection:
                change = update(outbox).where(outbox.c.id.in_(list(ids))).values(attempts=outbox.c.attempts + 1)
                connection.execute(change)

    def count(self) -> int:
        """Unsent messages. Raises StoreError."""
        with self._database.transaction() as connection:
            query = select(func.count()).select_from(outbox).where(outbox.c.sent.is_(None))
            return int(connection.execute(query).scalar_one())

    def oldest(self) -> datetime | None:
        """When the oldest unsent message was committed (UTC). Raises StoreError."""
        with self._database.transaction() as connection:
            query = select(outbox.c.committed).where(outbox.c.sent.is_(None)).order_by(outbox.c.id).limit(1)
            return connection.execute(query).scalar()
