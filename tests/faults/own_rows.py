"""What one of the agents on a server has written there, as if the tables were its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

TABLES = ("inspections", "events", "files", "outbox", "sequences", "runs")


def rows_of_agent(url: str, agent: str, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """`query` as SQLite reads it, with `?` for each value."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in TABLES:
            # Views of this connection hide the tables of that name.
            view = f"CREATE TEMP VIEW {table} AS SELECT * FROM public.{table} WHERE agent = '{agent}'"
            connection.execute(view.encode())
        return connection.execute(query.replace("?", "%s").encode(), values or None).fetchall()
