"""A PostgreSQL server that several agents share: its tables, and the stream of each agent."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import Connection, Engine, insert, inspect, select, text, update
from sqlalchemy.engine import URL

from agent.errors import StoreError
from agent.store.connection import shown
from agent.store.schema import meta
from agent.store.tables import check_version, schema_version, upgrade

# Agents that start together make the tables one after the other.
_UPGRADE_KEY = 0x66626370


def prepare_server(engine: Engine, url: URL, stream_key: str) -> None:
    """Make or upgrade the tables, and give this agent its stream. Raises StoreError and what SQLAlchemy raises."""
    with engine.connect() as connection:
        # Of the session: the steps have a transaction of their own.
        connection.execute(text("SET lock_timeout = '120s'"))
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text(f"SELECT pg_advisory_lock({_UPGRADE_KEY})"))
        connection.commit()
        try:
            upgrade(connection, url)
            with connection.begin():
                if connection.execute(select(meta.c.value).where(meta.c.key == stream_key)).scalar() is None:
                    # An upgraded database had one agent, which goes on with its stream.
                    first = update(meta).where(meta.c.key == "stream_id").values(key=stream_key)
                    if not connection.execute(first).rowcount:
                        connection.execute(insert(meta).values(key=stream_key, value=str(uuid4())))
        finally:
            # Timeouts and the lock end with the session.
            connection.invalidate()


def look_at_server(connection: Connection, url: URL) -> None:
    """Could an agent start on it? Nothing is made or changed. Raises StoreError and what SQLAlchemy raises."""
    if inspect(connection).has_table("meta"):
        check_version(url, schema_version(connection), oldest=1)
    elif not connection.execute(text("SELECT has_schema_privilege(current_schema(), 'CREATE')")).scalar():
        raise StoreError(f"{shown(url)}: its role may not make tables there; let it own the database")
