"""A URL to an engine with the right settings, and what a database refuses to one line without any password."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from agent.errors import StoreError

BUSY_MS = 5000
# Nothing that waits for a server may take as long as a thread that hangs is given.
_SERVER: Mapping[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,
    "application_name": "fbclip-inspect",
    # The server, too, gives up on a connection whose other end is gone: a machine that lost its power would else find
    # its own name taken for two hours.
    "options": "-c statement_timeout=10000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=30000"
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=8000",
}
_WHAT_TO_DO = {
    "database or disk is full": "make room on its disk; the agent goes on by itself",
    "database is locked": "another program holds it; the agent tries again by itself",
    "disk I/O error": "its disk is full or failing",
}


def parse_url(url: str) -> URL:
    """Raises StoreError for text that is no database URL."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Neither the text nor the cause is kept: both may hold a password.
        raise StoreError("store.url: not a database URL such as sqlite:///PATH or postgresql://HOST/NAME") from None
    # The driver that this project ships, unless another is named.
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername in {"postgresql", "postgres"} else parsed


def make_engine(url: URL, *, writer: bool, prepare: Callable[[sqlite3.Connection], None] | None = None) -> Engine:
    """An engine; `prepare` is called with each new SQLite connection. Raises StoreError."""
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(
                url,
                pool_pre_ping=True,
                pool_size=1 if writer else 4,
                max_overflow=0,
                pool_timeout=10,
                hide_parameters=True,
                connect_args=_server_arguments(url),
            )
        engine = create_engine(url, pool_size=1 if writer else 4, max_overflow=0, hide_parameters=True)
    except (ImportError, SQLAlchemyError) as error:
        raise store_error(url, error) from kept_cause(url, error)

    @event.listens_for(engine, "connect")
    def _pragmas(connection: sqlite3.Connection, _record: object) -> None:
        # sqlite3 must not begin transactions of its own: `begin` below does.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        connection.execute("PRAGMA foreign_keys=ON")
        if writer:
            # Only before the first page is written, hence before journal_mode.
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA journal_size_limit=16777216")
        if prepare is not None:
            prepare(connection)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction that reads first fails with SQLITE_BUSY_SNAPSHOT in spite of busy_timeout.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


def _server_arguments(url: URL) -> dict[str, Any]:
    """What psycopg is told beside the URL, which may say otherwise."""
    if url.drivername != "postgresql+psycopg":
        return {}
    return {key: value for key, value in _SERVER.items() if key not in url.query}


def shown(url: URL) -> str:
    """The URL for people, without its password."""
    return without_secrets(url, url.render_as_string())


def without_secrets(url: URL, text: str) -> str:
    for secret in _secrets(url):
        text = text.replace(secret, "***")
    return text


def store_error(url: URL, error: BaseException) -> StoreError:
    """What happened in one line, with what to do where that is known."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, ModuleNotFoundError) and cause.name == "psycopg":
        return StoreError("store.url: PostgreSQL needs psycopg: pip install 'fbclip-inspect[postgresql]'")
    text = (str(cause).splitlines() or [type(cause).__name__])[0]
    if text in _WHAT_TO_DO:
        text = f"{text}: {_WHAT_TO_DO[text]}"
    return StoreError(without_secrets(url, f"{url.render_as_string()}: {text}"))


def kept_cause(url: URL, error: BaseException) -> BaseException | None:
    """What the log may keep: None where a driver quotes a password, which a traceback would show."""
    link: BaseException | None = error
    while link is not None:
        if any(secret in str(link) for secret in _secrets(url)):
            return None
        link = link.__cause__ or link.__context__
    return error


def _secrets(url: URL) -> list[str]:
    options = [value for key, value in url.query.items() if "pass" in key.lower()]
    return [str(value) for value in (url.password, *options) if value]
