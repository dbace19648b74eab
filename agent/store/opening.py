"""A SQLite file is made ready for writing: private, sound, of this version, and with every alert that waits.

A damaged file is set aside. What can be read of it goes into a new one, and the copy of the unsent messages fills in
what cannot. What happened is kept in the database as its incident, for `status`, and told by health for a while.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from agent.records import timestamp
from agent.store.integrity import damage_of, names_corruption
from agent.store.salvage import Salvaged, salvage
from agent.store.sqlite_file import make_private, move_aside
from agent.store.tables import bring_up_to_date
from agent.store.unsent_copy import COLUMNS, Row, UnsentCopy, copy_of
from agent.store.values import damaged_values, repair_values

log = logging.getLogger(__name__)
INCIDENT_KEY = "incident"


@dataclass(frozen=True)
class Damage:
    """What a transaction met. `content`: a value that SQLite itself does not see to be wrong."""

    text: str
    content: bool


@dataclass(frozen=True)
class Incident:
    """What befell the database, one line, and when (RFC 3339)."""

    ts: str
    text: str


def make_ready(path: Path, met: Damage | None = None, happened: str | None = None) -> Incident | None:
    """Make the file at `path` ready for writing; returns what had to be mended, None if nothing.

    `met` is the damage that somebody met while the file was open, `happened` what befell it. Raises StoreError, and
    sqlite3.Error for what the database refuses.
    """
    try:
        return _make_ready(path, met, happened)
    except (sqlite3.DatabaseError, SQLAlchemyError) as error:
        cause = getattr(error, "orig", None) or error
        if met is not None or not names_corruption(cause):
            raise
        # The check does not see everything: now the file is set aside.
        return _make_ready(path, Damage(str(cause), content=False), happened)


def _make_ready(path: Path, met: Damage | None, happened: str | None) -> Incident | None:
    make_private(path)
    told: list[str] = []
    copy = _sound_copy(path, told)
    damage = damage_of(path)
    if damage is None and met is not None:
        # The check does not see everything. What SQLite itself met is there, unless it was in the copy.
        damage = damaged_values(path) if met.content else met.text if not told else None
    fresh = path.stat().st_size == 0
    aside = None
    if damage is not None:
        aside = move_aside(path, "corrupt")
        make_private(path)
        log.error("%s: %s", path, damage)
    bring_up_to_date(path)
    saved = None if aside is None else salvage(aside, path)
    with _connected(path) as connection:
        restored = _merge(connection, copy, trusted=aside is None)
        if aside is not None:
            # The copy may have its own damage.
            repair_values(connection)
        if aside is not None:
            happened = f"was damaged and is set aside as {aside.name}; {_saved_text(saved, restored)}"
        elif fresh and restored:
            happened = f"{happened or 'was gone'}: a new one is started"
        elif restored and happened is None:
            happened = "was older than the copy of its unsent messages"
        if happened is not None:
            waiting = connection.execute("SELECT count(*) FROM outbox WHERE sent IS NULL").fetchone()[0]
            told.insert(0, f"{path.name} {happened}; {waiting} unsent messages are kept")
        if not told:
            return None
        incident = Incident(timestamp(datetime.now(UTC)), "; ".join(told))
        write_incident(connection, incident)
    log.error("%s", incident.text)
    return incident


def write_incident(connection: sqlite3.Connection, incident: Incident) -> None:
    """Keep it in the database, in place of an earlier one."""
    value = json.dumps({"ts": incident.ts, "text": incident.text})
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (INCIDENT_KEY, value))


def read_incident(value: str | None) -> Incident | None:
    """The inverse of `write_incident`, of the stored value."""
    if value is None:
        return None
    found = json.loads(value)
    return Incident(str(found["ts"]), str(found["text"]))


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection inside one transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA busy_timeout=5000")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    finally:
        connection.close()


def _sound_copy(path: Path, told: list[str]) -> UnsentCopy:
    copy = copy_of(path)
    make_private(copy)
    if damage_of(copy) is None:
        try:
            return UnsentCopy(path)
        except (sqlite3.Error, ValueError) as error:
            log.error("%s: %s", copy, error)
    aside = move_aside(copy, "corrupt")
    make_private(copy)
    told.append(f"the copy of the unsent messages was damaged and is set aside as {aside.name}")
    return UnsentCopy(path)


def _merge(connection: sqlite3.Connection, copy: UnsentCopy, trusted: bool) -> int:
    """Give the database its stream, and the messages that only the copy has; returns how many.

    A database that is `trusted` knows which of the numbers it has given out were sent; only later ones are news to it.
    """
    found = connection.execute("SELECT value FROM meta WHERE key = 'stream_id'").fetchone()
    stream = str(found[0]) if found else copy.stream_id or str(uuid4())
    if not found:
        connection.execute("INSERT INTO meta (key, value) VALUES ('stream_id', ?)", (stream,))
    known = dict(connection.execute("SELECT message_id, id FROM outbox"))
    last = dict(connection.execute("SELECT line, last FROM sequences"))
    same = copy.stream_id == stream
    if same:
        # Rather twice than never: what was sent has left the copy.
        connection.executemany("UPDATE outbox SET sent = NULL WHERE message_id = :message_id", copy.rows)
    if same and not trusted:
        # What the copy says is whole.
        connection.executemany(
            "UPDATE outbox SET body = :body, topic = :topic, committed = :committed WHERE message_id = :message_id",
            copy.rows,
        )
    missing = [row for row in copy.rows if row["message_id"] not in known]
    if same and trusted:
        missing = [row for row in missing if row["message_seq"] > last.get(row["line"], 0)]
    # Under their old ids where these are free: messages go out in the order of their ids.
    keep_ids = not {row["id"] for row in missing} & set(known.values())
    taken = set(connection.execute("SELECT line, message_seq FROM outbox"))
    lowest = connection.execute("SELECT min(min(message_seq), 0) FROM outbox").fetchone()[0] or 0
    for number, row in enumerate(missing, start=lowest - len(missing)):
        own = same and (row["line"], row["message_seq"]) not in taken
        _put(connection, row if own else _of_another_stream(row, copy.stream_id, number), keep_ids)
    for line, number in copy.sequences.items() if same else ():
        # A file has one agent, whatever its rows call it.
        newer = "UPDATE sequences SET last = max(last, ?) WHERE line = ?"
        if not connection.execute(newer, (number, line)).rowcount:
            connection.execute("INSERT INTO sequences (line, last) VALUES (?, ?)", (line, number))
    return len(missing)


def _put(connection: sqlite3.Connection, row: Row, keep_id: bool) -> None:
    names = [name for name in COLUMNS if name in row and (name != "id" or keep_id)]
    connection.execute(
        f"INSERT INTO outbox ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",  # noqa: S608 (names of ours)
        [row[name] for name in names],
    )


def _of_another_stream(row: Row, stream_id: str | None, number: int) -> Row:
    """Subscribers know the message by its old identity: that goes into the body. `number` is none of this stream's."""
    identity = {"message_id": row["message_id"], "stream_id": stream_id, "message_seq": row["message_seq"]}
    body = {**identity, **json.loads(row["body"])}
    return {**row, "body": json.dumps(body), "message_seq": number}


def _saved_text(saved: Salvaged | None, restored: int) -> str:
    rows = {} if saved is None else saved.rows
    whole = "everything" if saved is not None and saved.complete else "what could be read"
    text = f"{rows.get('inspections', 0)} inspections, {rows.get('events', 0)} events, {rows.get('files', 0)} files"
    return f"{whole} was saved: {text}, {restored} messages from their copy"
