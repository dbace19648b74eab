"""Stored values that no writer of ours has written: what damage makes of them, and what stands in for them.

SQLite does not see them, because to it any text is a text. Reading one raises ValueError.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import JSON, Column

from agent.records import Disposition, EventKind, FileState
from agent.store.integrity import names_corruption
from agent.store.schema import Utc, metadata
from fbclip.decision import Verdict

_WORDS = {
    ("inspections", "verdict"): (tuple(Verdict), Verdict.REJECTED),
    ("events", "kind"): (tuple(EventKind), EventKind.ANOMALY),
    # Judged once more at worst.
    ("files", "state"): (tuple(FileState), FileState.PENDING),
    ("files", "disposition"): (tuple(Disposition), Disposition.PENDING),
}
# What SQLite reads as the very same moment, to the microsecond that it drops.
_MOMENT = "strftime('%Y-%m-%d %H:%M:%S', {0}) IS substr({0}, 1, 19) AND {0} GLOB '*.[0-9][0-9][0-9][0-9][0-9][0-9]'"
_UNKNOWN_MOMENT = "1970-01-01 00:00:00.000000"


def damaged_values(path: Path) -> str | None:
    """Which values are damaged, one line; None if there are none. It reads every row; raises sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for table, column, bad, _ in _conditions():
            count = int(connection.execute(f"SELECT count(*) FROM {table} WHERE {bad}").fetchone()[0])  # noqa: S608
            if count:
                return f"{count} values of {table}.{column} are damaged"
        for table in metadata.tables:
            try:
                for _ in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 (names of ours)
                    pass
            except sqlite3.OperationalError as error:
                if not names_bad_text(error):
                    raise
                return f"a text of {table} is damaged"
    except sqlite3.DatabaseError as error:
        if not names_corruption(error):
            raise
        return str(error)
    finally:
        connection.close()
    return None


def repair_values(connection: sqlite3.Connection) -> None:
    """Put something readable for each damaged value; a message without a readable body is deleted."""
    connection.execute("DELETE FROM outbox WHERE NOT json_valid(body)")
    for table, column, bad, instead in _conditions():
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {bad}", (instead,))  # noqa: S608 (names of ours)


def names_bad_text(error: BaseException | None) -> bool:
    """Whether an error of the driver is about a text that is no UTF-8 any more."""
    return isinstance(error, sqlite3.OperationalError) and str(error).startswith("Could not decode to UTF-8")


def _conditions() -> Iterator[tuple[str, str, str, str | None]]:
    """Table, column, what is true of a damaged value, and what stands in for it."""
    for table in metadata.sorted_tables:
        for column in table.columns:
            condition = _condition(table.name, column)
            if condition is not None:
                yield table.name, column.name, *condition


def _condition(table: str, column: Column[object]) -> tuple[str, str | None] | None:
    name = column.name
    if isinstance(column.type, JSON):
        return f"NOT json_valid({name})", None if column.nullable else "[]"
    if isinstance(column.type, Utc):
        return f"{name} IS NOT NULL AND NOT ({_MOMENT.format(name)})", None if column.nullable else _UNKNOWN_MOMENT
    if (table, name) in _WORDS:
        words, instead = _WORDS[table, name]
        return f"{name} NOT IN ({', '.join(repr(str(word)) for word in words)})", str(instead)
    return None
