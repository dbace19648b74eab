"""Is a SQLite file sound? Asked at every start, in bounded time: what alerts need first, the bulk last."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)
CHECK_S = 20.0
CORRUPT = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})
# The whole file comes last: with years of inspections it is the part that may not fit into the time.
_FIRST = ("meta", "sequences", "outbox", "events", "files")
_STEPS = 10_000


def names_corruption(error: BaseException | None) -> bool:
    """Whether an error of the driver says that the file itself is broken."""
    return any(str(getattr(error, "sqlite_errorname", "")).startswith(code) for code in CORRUPT)


def damage_of(path: Path, seconds: float = CHECK_S, clock: Callable[[], float] = time.monotonic) -> str | None:
    """What is broken in the database at `path`, one line; None for a sound, an empty or a missing one.

    A check that does not end within `seconds` says so in the log: damage in the rest is dealt with when it is met.
    Raises sqlite3.Error for what is no damage, such as a locked file.
    """
    if not path.exists():
        return None
    deadline = clock() + seconds
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA busy_timeout=5000")
        connection.set_progress_handler(lambda: clock() > deadline, _STEPS)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        checks = [f"PRAGMA quick_check('{name}')" for name in _FIRST if name in tables] + ["PRAGMA quick_check(1)"]
        for check in checks:
            answer = str(connection.execute(check).fetchone()[0])
            if answer != "ok":
                return " ".join(answer.split())
    except sqlite3.Error as error:
        if names_corruption(error):
            return str(error)
        if getattr(error, "sqlite_errorname", "") != "SQLITE_INTERRUPT":
            raise
        log.warning("%s: the check was ended after %.0f s, the rest of the file is unchecked", path, seconds)
    except UnicodeDecodeError:
        return "the name of a table is damaged"
    finally:
        connection.close()
    return None
