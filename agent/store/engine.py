"""Opening the store: one locked writer connection and read-only readers.

SQLAlchemy's errors leave this package as StoreError, one line, without any password; nor has the cause one.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote
from uuid import uuid4

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from agent.errors import StoreError
from agent.store.schema import SCHEMA_VERSION, meta, metadata, runs
from agent.store.sqlite_file import is_corrupt, move_aside, refuse_network, sqlite_path, wal_of


class Database:
    """One database. A writer has a single connection behind a lock, so any thread may use it, one at a time.

    Readers are not locked: each transaction takes its own connection.
    """

    def __init__(self, engine: Engine, *, writer: bool) -> None:
        self._engine = engine
        self._writer = writer
        self._lock = threading.RLock()

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All or nothing. Raises StoreError for whatever the database refuses."""
        try:
            if self._writer:
                with self._lock, self._engine.begin() as connection:
                    yield connection
            else:
                with self._engine.begin() as connection:
                    yield connection
        except SQLAlchemyError as error:
            raise _store_error(self._engine.url, error) from _cause(self._engine.url, error)

    def reclaim(self) -> None:
        """Give free pages back to the file system and empty the WAL. Raises StoreError."""
        if not self.is_sqlite:
            return
        try:
            # Neither statement works inside a transaction, so they go to the driver's connection.
            with self._lock, self._engine.connect() as connection:
                driver = connection.connection.driver_connection
                assert driver is not None
                driver.execute("PRAGMA incremental_vacuum").fetchall()
                driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise _store_error(self._engine.url, error) from _cause(self._engine.url, error)

    def close(self) -> None:
        """Close every connection; safe to call twice."""
        with self._lock:
            self._engine.dispose()


def open_writer(url: str) -> Database:
    """The store for writing, made if it is not there. Take a DataLock first.

    A corrupt SQLite file is moved aside and a new one started. Raises StoreError if the database cannot be
    used, is newer than this program, or lies on a network file system.
    """
    parsed = _parse(url)
    path = sqlite_path(parsed)
    if path is not None:
        refuse_network(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path.parent}: cannot be made: {error.strerror}") from error
        unclean = wal_of(path).exists() and wal_of(path).stat().st_size > 0
        try:
            return _prepare(parsed, unclean)
        except SQLAlchemyError as error:
            if not is_corrupt(error):
                raise _store_error(parsed, error) from _cause(parsed, error)
            move_aside(path)
    try:
        return _prepare(parsed, unclean=False)
    except SQLAlchemyError as error:
        raise _store_error(parsed, error) from _cause(parsed, error)


def open_reader(url: str) -> Database:
    """The store for reading only; raises StoreError if it is not there or newer than this program."""
    parsed = _parse(url)
    path = sqlite_path(parsed)
    if path is not None:
        if not path.is_file():
            raise StoreError(f"{path}: no such database; has the agent run yet?")
        parsed = parsed.set(database=f"file:{quote(str(path))}", query={**parsed.query, "mode": "ro", "uri": "true"})
    engine = _engine(parsed, writer=False)
    try:
        with engine.connect() as connection:
            found = connection.execute(select(meta.c.value).where(meta.c.key == "schema_version")).scalar()
            _check_version(parsed, found)
    except SQLAlchemyError as error:
        engine.dispose()
        raise _store_error(parsed, error) from _cause(parsed, error)
    except StoreError:
        engine.dispose()
        raise
    return Database(engine, writer=False)


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        # Neither the text nor the cause is kept: both may hold a password.
        raise StoreError("store.url: not a database URL such as sqlite:///PATH or postgresql://HOST/NAME") from None


def _engine(url: URL, *, writer: bool) -> Engine:
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(url, pool_pre_ping=True, pool_size=1 if writer else 4, hide_parameters=True)
        engine = create_engine(url, pool_size=1 if writer else 4, max_overflow=0, hide_parameters=True)
    except (ImportError, SQLAlchemyError) as error:
        raise _store_error(url, error) from _cause(url, error)

    @event.listens_for(engine, "connect")
    def _pragmas(connection: sqlite3.Connection, _record: object) -> None:
        # sqlite3 must not begin transactions of its own: `begin` below does.
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout=5000")
        connection.execute("PRAGMA foreign_keys=ON")
        if writer:
            # Only before the first page is written, hence before journal_mode.
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA journal_size_limit=16777216")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction that reads first fails with SQLITE_BUSY_SNAPSHOT in spite of busy_timeout.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


def _prepare(url: URL, unclean: bool) -> Database:
    engine = _engine(url, writer=True)
    try:
        with engine.begin() as connection:
            tables = set(inspect(connection).get_table_names())
            if "meta" in tables:
                found = connection.execute(select(meta.c.value).where(meta.c.key == "schema_version")).scalar()
                _check_version(url, found)
                last = connection.execute(select(runs.c.clean).order_by(runs.c.id.desc()).limit(1)).scalar()
                unclean = unclean or last is False
            if unclean and engine.dialect.name == "sqlite":
                answer = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
                if answer != "ok":
                    raise SQLAlchemyError("SQLITE_CORRUPT: quick_check failed")
            metadata.create_all(connection)
            if "meta" not in tables:
                rows = [
                    {"key": "schema_version", "value": str(SCHEMA_VERSION)},
                    {"key": "stream_id", "value": str(uuid4())},
                ]
                connection.execute(meta.insert(), rows)
    except BaseException:
        engine.dispose()
        raise
    return Database(engine, writer=True)


def _check_version(url: URL, found: str | None) -> None:
    if found is None or not found.isdigit():
        raise StoreError(_hidden(url, f"{url.render_as_string()}: not a database of this agent"))
    if int(found) != SCHEMA_VERSION:
        which = "newer" if int(found) > SCHEMA_VERSION else "older"
        text = f"schema {found} is {which} than this program's {SCHEMA_VERSION}; use the version that wrote it"
        raise StoreError(_hidden(url, f"{url.render_as_string()}: {text}"))


def _secrets(url: URL) -> list[str]:
    options = [value for key, value in url.query.items() if "pass" in key.lower()]
    return [str(value) for value in (url.password, *options) if value]


def _hidden(url: URL, text: str) -> str:
    for secret in _secrets(url):
        text = text.replace(secret, "***")
    return text


def _store_error(url: URL, error: BaseException) -> StoreError:
    cause = getattr(error, "orig", None) or error
    text = (str(cause).splitlines() or [type(cause).__name__])[0]
    return StoreError(_hidden(url, f"{url.render_as_string()}: {text}"))


def _cause(url: URL, error: BaseException) -> BaseException | None:
    """What the log may keep: None where a driver quotes a password, which a traceback would show."""
    link: BaseException | None = error
    while link is not None:
        if any(secret in str(link) for secret in _secrets(url)):
            return None
        link = link.__cause__ or link.__context__
    return error
