"""The tables of a database are made, or brought up to this version step by step."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect, select
from sqlalchemy.engine import URL

from agent.errors import StoreError
from agent.store.connection import make_engine, shown
from agent.store.schema import SCHEMA_VERSION, meta

log = logging.getLogger(__name__)
MIGRATIONS = Path(__file__).with_name("migrations")


def bring_up_to_date(path: Path) -> None:
    """Of a SQLite file; as `upgrade`."""
    url = URL.create("sqlite", database=str(path))
    engine = make_engine(url, writer=True)
    try:
        with engine.connect() as connection:
            upgrade(connection, url)
    finally:
        engine.dispose()


def upgrade(connection: Connection, url: URL) -> None:
    """In one transaction, so that a power cut leaves the old version whole.

    Raises StoreError for a database of a newer version or of another program, and what SQLAlchemy raises.
    """
    with connection.begin():
        tables = inspect(connection).get_table_names()
        found = schema_version(connection) if "meta" in tables else None
        if "meta" in tables or "inspections" in tables:
            check_version(url, found, oldest=1)
        if found == str(SCHEMA_VERSION):
            return
        _run_steps(connection, found)
        if found is None:
            connection.execute(meta.insert().values(key="schema_version", value=str(SCHEMA_VERSION)))
        else:
            # A program of an older version reads this, and refuses the database.
            connection.execute(meta.update().where(meta.c.key == "schema_version").values(value=str(SCHEMA_VERSION)))
            log.info("%s: upgraded from schema %s to %d", shown(url), found, SCHEMA_VERSION)


def schema_version(connection: Connection) -> str | None:
    """What the database says; None if it says nothing."""
    return connection.execute(select(meta.c.value).where(meta.c.key == "schema_version")).scalar()


def check_version(url: URL, found: str | None, oldest: int) -> None:
    """Raises StoreError where this program cannot use the version that was found."""
    if found is None or not found.isdigit():
        raise StoreError(f"{shown(url)}: not a database of this agent")
    if int(found) > SCHEMA_VERSION:
        text = f"schema {found} is newer than this program's {SCHEMA_VERSION}; use the version that wrote it"
        raise StoreError(f"{shown(url)}: {text}")
    if int(found) < oldest:
        text = f"schema {found} is older than this program's {SCHEMA_VERSION}; `agent run` upgrades it"
        raise StoreError(f"{shown(url)}: {text}")


def _run_steps(connection: Connection, found: str | None) -> None:
    # Before the import, which tells of each of its plugins.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Here, because it is needed once in the life of a version and takes a while to import.
    from alembic import command
    from alembic.config import Config as AlembicConfig

    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    if found == "1":
        # Version 1 was made before there were steps.
        command.stamp(config, "1")
    command.upgrade(config, "head")
