"""The open store: one locked writer connection, or read-only readers; `agent/store/access.py` opens it.

SQLAlchemy's errors leave this package as StoreError, one line, without any password; nor has the cause one.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, Engine, Table, true
from sqlalchemy.exc import SQLAlchemyError

from agent.errors import StoreError
from agent.store.ballast import disk_usage
from agent.store.connection import kept_cause, store_error
from agent.store.integrity import names_corruption
from agent.store.name_lock import NameLock
from agent.store.opening import Damage, Incident, make_ready
from agent.store.rescue import rescue
from agent.store.schema import SCHEMA_VERSION
from agent.store.sqlite_file import identity
from agent.store.unsent_copy import adopt, copy_of, refill
from agent.store.values import names_bad_text

log = logging.getLogger(__name__)
NO_ROOM_BYTES = 1 << 20
DEFAULT_AGENT = "agent"
AGENT_SINCE = 6
"""The version of the schema in which rows carry their agent."""


class Database:
    """One database. A writer has a single connection behind a lock, so any thread may use it, one at a time.

    Readers are not locked: each transaction takes its own connection.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        writer: bool,
        path: Path | None = None,
        schema: int = SCHEMA_VERSION,
        agent: str = DEFAULT_AGENT,
        name_lock: NameLock | None = None,
    ) -> None:
        """`agent`: whose rows are read and written; `path`: the file, None for a server.

        `schema`: an earlier version's where it is read before the upgrade.
        """
        self.schema = schema
        self.agent = agent
        self.name_lock = name_lock
        self._engine = engine
        self._writer = writer
        self._lock = threading.RLock()
        self._path = path
        self._files = self._found()
        self._damage: Damage | None = None
        self._full = False
        self._copy_behind = False
        # A look at every value has found nothing: whoever stumbles over one again is wrong himself.
        self._vetted = False
        self.incident: Incident | None = None

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @property
    def path(self) -> Path | None:
        """The file of the database; None for a server."""
        return self._path

    def own(self, table: Table) -> ColumnElement[bool]:
        """True of this agent's rows. All are its own before the version in which rows carry their agent."""
        return table.c.agent == self.agent if self.schema >= AGENT_SINCE else true()

    def key(self, name: str) -> str:
        """That of a value in `meta` which each agent has for itself: a file has one agent."""
        return name if self.is_sqlite else f"{name}:{self.agent}"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All or nothing. Raises StoreError for whatever the database refuses."""
        try:
            if self._writer:
                with self._lock, self._engine.begin() as connection:
                    yield connection
            else:
                self._follow()
                with self._engine.begin() as connection:
                    yield connection
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None)
            name = str(getattr(cause, "sqlite_errorname", ""))
            if names_bad_text(cause):
                self._met_value(error)
            if names_corruption(cause):
                self._damage = Damage(str(cause), content=False)
            # Of the two files of a transaction the first may be committed when there is no room for the second.
            self._copy_behind = self._copy_behind or name.startswith(("SQLITE_FULL", "SQLITE_IOERR"))
            # A full disk is an I/O error where SQLite writes its shared memory.
            self._full = self._full or name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and self._no_room())
            raise store_error(self._engine.url, error) from kept_cause(self._engine.url, error)
        except ValueError as error:
            # A stored value that is none any more: the file was written to past SQLite.
            self._met_value(error)
            raise StoreError(f"{self._engine.url.render_as_string()}: a stored value is damaged") from error

    def _met_value(self, error: BaseException) -> None:
        if not self._vetted:
            self._damage = Damage(f"a stored value is damaged: {type(error).__name__}", content=True)

    def was_full(self) -> bool:
        """Whether the disk had no room for a transaction since this was asked last."""
        full, self._full = self._full, False
        return full

    def catch_up(self) -> None:
        """After a disk that refused: the copy of the unsent messages is made to hold all of them. Raises StoreError."""
        if not (self._writer and self._copy_behind and self._path is not None):
            return
        try:
            with self._lock:
                self._refill()
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise store_error(self._engine.url, error) from kept_cause(self._engine.url, error)
        self._copy_behind = False

    def take_over(self) -> None:
        """A file that was made ready: its rows are this agent's, its copy holds what waits. Raises sqlite3.Error."""
        try:
            self._refill()
            # Only now are both files there.
            self._files = self._found()
        except sqlite3.Error as error:
            if not names_corruption(error):
                raise
            # The check does not see everything.
            self._damage = Damage(str(error), content=False)
            self.renew()

    def renewal_due(self) -> str | None:
        """Why this writer's file has to be renewed: it is damaged, or gone; None while all is well."""
        if self._path is None:
            return None
        if self._damage is not None:
            return f"damaged: {self._damage.text}"
        return None if self._found() == self._files else "deleted or replaced"

    def renew(self) -> Incident | None:
        """Mend what `renewal_due` names and go on with a sound file; returns what was mended. Raises StoreError.

        A deleted file lives on while it is open: all of it is written out under its old name.
        """
        path = self._path
        if path is None:
            return None
        with self._lock:
            damage, self._damage = self._damage, None
            try:
                happened = None if damage is not None else self._befallen(path)
                self._engine.dispose()
                incident = make_ready(path, damage, happened)
                self._vetted = damage is not None and damage.content and incident is None
                self._engine.dispose()
                self._refill()
            except (SQLAlchemyError, sqlite3.Error, OSError) as error:
                self._damage = damage
                raise store_error(self._engine.url, error) from kept_cause(self._engine.url, error)
            self._files = self._found()
            self.incident = incident
            return incident

    def reclaim(self, most: int, spare: int) -> None:
        """Give back to the file system what is free beyond `spare` pages, at most so many. Raises StoreError."""
        if not self.is_sqlite:
            return
        try:
            # Neither statement works inside a transaction, so they go to the driver's connection.
            with self._lock, self._engine.connect() as connection:
                driver = connection.connection.driver_connection
                assert driver is not None
                for name in ("main", "unsent"):
                    free = int(driver.execute(f"PRAGMA {name}.freelist_count").fetchone()[0])
                    if free > spare:
                        # A step for each page: `execute` would take the first only.
                        driver.executescript(f"PRAGMA {name}.incremental_vacuum({min(free - spare, most)})")
                        # Passive: it waits for no reader while everybody waits for this lock.
                        driver.execute(f"PRAGMA {name}.wal_checkpoint(PASSIVE)").fetchall()
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise store_error(self._engine.url, error) from kept_cause(self._engine.url, error)

    def close(self) -> None:
        """Close every connection; safe to call twice."""
        with self._lock:
            self._engine.dispose()
        if self.name_lock is not None:
            self.name_lock.release()

    def _no_room(self) -> bool:
        return self._path is not None and disk_usage(self._path.parent)[1] < NO_ROOM_BYTES

    def _befallen(self, path: Path) -> str | None:
        """What happened to the open file; a deleted one is written out again."""
        if identity(path) == self._files[0]:
            # It was only the copy that went.
            return None
        if identity(path) is not None:
            return "was replaced by another file while the agent ran"
        if rescue(self._engine, path):
            return "was deleted while the agent ran: all of it is written anew"
        return "was deleted while the agent ran: a new one is started"

    def _refill(self) -> None:
        with self._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            adopt(driver, self.agent)
            refill(driver)

    def _found(self) -> tuple[object, ...]:
        if self._path is None:
            return ()
        files = (self._path, copy_of(self._path)) if self._writer else (self._path,)
        return tuple(map(identity, files))

    def _follow(self) -> None:
        """A reader leaves a file that is no longer the one at its path."""
        found = self._found()
        if found != self._files:
            self._engine.dispose()
            self._files = found
