"""A second copy of every message that waits, in a small file of its own beside the database.

Reading around the damage of a database finds only what lies on its sound pages. An alert must survive the loss of
any page, the first one included, and of the whole file. So triggers of the writer's connection write each row of the
outbox into the copy in the transaction that makes it, and take it out when it is sent, whoever does that.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, TypeAlias

from agent.store.schema import outbox

COLUMNS = tuple(column.name for column in outbox.columns)
Row: TypeAlias = dict[str, Any]


def copy_of(path: Path) -> Path:
    """Where the copy of a database lies; a wildcard that deletes the database does not match it."""
    return path.with_name(f"unsent-of-{path.name}")


def arm(connection: sqlite3.Connection, path: Path) -> None:
    """Attach the copy of the database at `path` and keep it up to date; nothing yet for one without tables."""
    if connection.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'outbox'").fetchone() is None:
        return
    connection.execute("ATTACH DATABASE ? AS unsent", (str(copy_of(path)),))
    for pragma in ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", "synchronous=FULL", "journal_size_limit=1048576"):
        connection.execute(f"PRAGMA unsent.{pragma}")
    _make_tables(connection)
    names, values = ", ".join(COLUMNS), ", ".join(f"new.{name}" for name in COLUMNS)
    gone = "DELETE FROM unsent_rows WHERE message_id ="
    sequence = "INSERT OR REPLACE INTO unsent_sequences VALUES (new.line, new.last)"
    for name, when, action in (
        ("put", "INSERT ON main.outbox", f"INSERT OR REPLACE INTO unsent_rows ({names}) VALUES ({values})"),  # noqa: S608
        ("sent", "UPDATE OF sent ON main.outbox WHEN new.sent IS NOT NULL", f"{gone} new.message_id"),
        ("gone", "DELETE ON main.outbox", f"{gone} old.message_id"),
        ("first", "INSERT ON main.sequences", sequence),
        ("next", "UPDATE ON main.sequences", sequence),
    ):
        connection.execute(f"CREATE TEMP TRIGGER unsent_{name} AFTER {when} BEGIN {action}; END")


def adopt(connection: sqlite3.Connection, agent: str) -> None:
    """A file has one agent: rows that it wrote under another name, or before rows had one, are its own."""
    for table in (
        "sequences",
        "files",
        "inspections",
        "events",
        "outbox",
        "ages",
        "audit",
        "runs",
        "feedback",
        "drift",
    ):
        # Two steps on the index of the table rather than a look at each row.
        for other in ("<", ">"):
            connection.execute(f"UPDATE {table} SET agent = ? WHERE agent {other} ?", (agent, agent))  # noqa: S608


def refill(connection: sqlite3.Connection) -> None:
    """Make the copy hold what the database has to send; the connection is armed and in no transaction.

    Rows that are there stay as they are: those of the database may have been damaged since.
    """
    names = ", ".join(COLUMNS)
    waiting = "FROM main.outbox WHERE sent IS NULL"
    stream = "SELECT value FROM main.meta WHERE key = 'stream_id'"
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            f"DELETE FROM unsent_rows WHERE message_id NOT IN (SELECT message_id {waiting})"  # noqa: S608 (names of ours)
            f" OR NOT EXISTS (SELECT 1 FROM unsent_stream WHERE stream_id = ({stream}))"
        )
        connection.execute(f"INSERT OR IGNORE INTO unsent_rows ({names}) SELECT {names} {waiting}")
        connection.execute("DELETE FROM unsent_sequences")
        connection.execute("INSERT INTO unsent_sequences SELECT line, last FROM main.sequences")
        connection.execute("DELETE FROM unsent_stream")
        connection.execute(f"INSERT INTO unsent_stream {stream}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class UnsentCopy:
    """What the copy of a database says, read once; empty where there is none.

    Raises sqlite3.Error and ValueError for a damaged one.
    """

    def __init__(self, path: Path) -> None:
        self.stream_id: str | None = None
        self.sequences: dict[str, int] = {}
        self.rows: list[Row] = []
        copy = copy_of(path)
        if not copy.exists():
            return
        connection = sqlite3.connect(copy, isolation_level=None)
        try:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not {"unsent_rows", "unsent_sequences", "unsent_stream"} <= tables:
                return
            stream = connection.execute("SELECT stream_id FROM unsent_stream").fetchone()
            self.stream_id = None if stream is None else str(stream[0])
            self.sequences = dict(connection.execute("SELECT line, last FROM unsent_sequences"))
            cursor = connection.execute("SELECT * FROM unsent_rows ORDER BY id")
            names = [field[0] for field in cursor.description]
            self.rows = [dict(zip(names, row, strict=True)) for row in cursor]
            for row in self.rows:
                json.loads(row["body"])
        finally:
            connection.close()


def _make_tables(connection: sqlite3.Connection) -> None:
    found = tuple(row[1] for row in connection.execute("PRAGMA unsent.table_info(unsent_rows)"))
    if found and found != COLUMNS:
        # Of a version with another outbox. Its rows were read before, and `refill` writes them anew.
        connection.execute("DROP TABLE unsent.unsent_rows")
    columns = ", ".join(f"{name} PRIMARY KEY" if name == "message_id" else name for name in COLUMNS)
    connection.execute(f"CREATE TABLE IF NOT EXISTS unsent.unsent_rows ({columns})")
    connection.execute("CREATE TABLE IF NOT EXISTS unsent.unsent_sequences (line PRIMARY KEY, last INTEGER)")
    connection.execute("CREATE TABLE IF NOT EXISTS unsent.unsent_stream (stream_id)")
