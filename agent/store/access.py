"""A database is opened by its URL: a SQLite file made ready for writing, a server's tables, or either for reading."""

from __future__ import annotations

import os
import sqlite3
from functools import partial
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import select
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from agent.errors import StoreError
from agent.store.connection import kept_cause, make_engine, parse_url, store_error
from agent.store.engine import DEFAULT_AGENT, Database
from agent.store.name_lock import NameLock
from agent.store.opening import make_ready
from agent.store.schema import READABLE_FROM, SCHEMA_VERSION, runs
from agent.store.server import look_at_server, prepare_server
from agent.store.sqlite_file import refuse_network, sqlite_path
from agent.store.tables import check_version, schema_version
from agent.store.unsent_copy import arm, copy_of


def file_of(url: str) -> Path | None:
    """The file that a URL names, None for a server; raises StoreError for text that is no URL."""
    return sqlite_path(parse_url(url))


def open_writer(url: str, agent: str = DEFAULT_AGENT) -> Database:
    """The store for writing, made if it is not there, upgraded if it is older. Take a DataLock first.

    A damaged SQLite file is set aside and replaced, see `make_ready`. Raises StoreError if the database cannot be
    used, is newer than this program, or lies on a network file system.
    """
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    try:
        if path is None:
            return _open_server(parsed, agent)
        refuse_network(path)
        incident = make_ready(path)
        engine = make_engine(parsed.set(database=str(path)), writer=True, prepare=partial(arm, path=path))
        database = Database(engine, writer=True, path=path, agent=agent)
        database.incident = incident
        database.take_over()
        return database
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise store_error(parsed, error) from kept_cause(parsed, error)
    except OSError as error:
        raise StoreError(f"{path}: cannot be used: {error.strerror}") from error


def open_reader(url: str, agent: str = DEFAULT_AGENT) -> Database:
    """The store for reading only; raises StoreError if it is not there or of another version."""
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    if path is not None:
        if not path.is_file():
            if copy_of(path).exists():
                raise StoreError(f"{path}: the database is gone, it was deleted; `agent run` starts a new one")
            raise StoreError(f"{path}: no such database; has the agent run yet?")
        parsed = parsed.set(database=f"file:{quote(str(path))}", query={**parsed.query, "mode": "ro", "uri": "true"})
    engine = make_engine(parsed, writer=False)
    try:
        with engine.connect() as connection:
            found = schema_version(connection)
            check_version(parsed, found, oldest=READABLE_FROM)
            if path is not None:
                # One that was given another name since is still the agent of its file.
                last = select(runs.c.agent).order_by(runs.c.id.desc()).limit(1)
                agent = connection.execute(last).scalar() or agent
    except SQLAlchemyError as error:
        engine.dispose()
        raise store_error(parsed, error) from kept_cause(parsed, error)
    except StoreError:
        engine.dispose()
        raise
    return Database(engine, writer=False, path=path, schema=int(found or SCHEMA_VERSION), agent=agent)


def try_store(url: str, agent: str = DEFAULT_AGENT) -> None:
    """Could `open_writer` use it? Nothing is made, and a new database is as good as one. Raises StoreError."""
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    if path is not None and path.exists():
        open_reader(url, agent).close()
    elif path is not None:
        refuse_network(path)
        folder = next(parent for parent in path.parents if parent.exists())
        if not os.access(folder, os.W_OK):
            raise StoreError(f"{path}: cannot be made, {folder} cannot be written")
    else:
        engine = make_engine(parsed, writer=False)
        try:
            with engine.connect() as connection:
                look_at_server(connection, parsed)
        except SQLAlchemyError as error:
            raise store_error(parsed, error) from kept_cause(parsed, error)
        finally:
            engine.dispose()


def _open_server(url: URL, agent: str) -> Database:
    """Raises StoreError if another agent of this name is there."""
    lock = NameLock(url, agent)
    engine = make_engine(url, writer=True)
    database = Database(engine, writer=True, agent=agent, name_lock=lock)
    try:
        prepare_server(engine, url, database.key("stream_id"))
    except BaseException:
        database.close()
        raise
    return database
