"""Messages that wait for the broker: a row is written with what it tells of and marked sent on PUBACK only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.engine import Row

from agent.records import Message
from agent.store.engine import Database
from agent.store.schema import meta, outbox, sequences


@dataclass(frozen=True)
class Draft:
    """A message to be. `body` says nothing of its identity: that is the row's, and stamped on when it is read."""

    line: str
    topic: str
    body: Mapping[str, Any]


def put(connection: Connection, run: str, drafts: Sequence[Draft]) -> None:
    """Write drafts as outbox rows in this transaction, in order, each with the next number of its line."""
    for draft in drafts:
        row = {
            "message_id": str(uuid4()),
            "line": draft.line,
            "message_seq": _next_seq(connection, draft.line),
            "topic": draft.topic,
            "body": dict(draft.body),
            "run": run,
            "committed": datetime.now(UTC),
            "attempts": 0,
        }
        connection.execute(insert(outbox).values(row))


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
        stream_id = select(meta.c.value).where(meta.c.key == "stream_id").scalar_subquery().label("stream_id")
        query = select(outbox, stream_id).where(outbox.c.sent.is_(None)).order_by(outbox.c.id).limit(limit)
        if exclude_ids:
            query = query.where(outbox.c.id.not_in(list(exclude_ids)))
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return tuple(map(_message, rows))

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


def _message(row: Row[Any]) -> Message:
    """Identity stands after the schema. Where an earlier version has stored it in the body, the body's is kept."""
    identity = {"message_id": row.message_id, "stream_id": row.stream_id, "message_seq": row.message_seq}
    body = {"schema": row.body.get("schema"), **identity, **row.body}
    return Message(row.id, row.message_id, row.topic, body, row.committed, row.run, row.attempts)
