"""A copy of the SQLite file as of one moment, while an agent may be writing it; and a copy that starts anew."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from agent.errors import StoreError


def snapshot(source: Path, target: Path) -> None:
    """Copy the database with what its write-ahead log holds, by SQLite's own backup; writers go on meanwhile.

    `target` is new and for this account only. Raises StoreError, also if the copy does not pass SQLite's check.
    """
    if not source.is_file():
        raise StoreError(f"{source}: no such database; has the agent run yet?")
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with closing(_open(source, "ro")) as there, closing(_open(target, "rw")) as here:
            there.backup(here)
            # One file, without a log beside it.
            here.execute("PRAGMA journal_mode=DELETE")
            found = here.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise StoreError(f"{source}: cannot be copied: {error}") from error
    if found != "ok":
        raise StoreError(f"{source}: is damaged ({found}); the next start of the agent sets it aside and mends it")


def start_new_stream(path: Path) -> None:
    """Numbers of messages that were given out after the copy was made are not known: nobody may see them twice."""
    try:
        with closing(_open(path, "rw")) as connection:
            connection.execute("UPDATE meta SET value = ? WHERE key = 'stream_id'", (str(uuid4()),))
            connection.commit()
    except sqlite3.Error as error:
        raise StoreError(f"{path}: is no database of an agent: {error}") from error


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True, timeout=10)
