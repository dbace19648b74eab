"""Two agents of one name never write one server: a lock of the session, on a connection that is watched."""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress

from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from agent.errors import StoreError
from agent.store.connection import kept_cause, make_engine, shown, store_error

log = logging.getLogger(__name__)


class NameLock:
    """Held from construction to `release`. Owned by one thread."""

    def __init__(self, url: URL, agent: str) -> None:
        """Raises StoreError if another agent holds the name, or the server is away."""
        self._url = url
        self._agent = agent
        self._key = int.from_bytes(hashlib.sha256(f"fbclip-inspect {agent}".encode()).digest()[:8], signed=True)
        self._engine: Engine = make_engine(url, writer=True)
        self._held: Connection | None = None
        self.taken: str | None = None
        try:
            self._take()
            if self.taken is not None:
                raise StoreError(self.taken)
        except BaseException:
            self.release()
            raise

    def look(self) -> None:
        """Still held? A lost connection is taken up again; where another agent was faster `taken` says so.

        Raises StoreError while the server is away.
        """
        if self._held is not None:
            try:
                self._held.execute(text("SELECT 1"))
            except SQLAlchemyError as error:
                log.warning(
                    "the lock on the name %s is lost with its connection: %s",
                    self._agent,
                    store_error(self._url, error),
                )
                self._drop()
            else:
                return
        self._take()

    def release(self) -> None:
        """Let go; safe to call twice."""
        self._drop()
        self._engine.dispose()

    def _take(self) -> None:
        try:
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._held = connection
            got = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}).scalar()
        except SQLAlchemyError as error:
            self._drop()
            raise store_error(self._url, error) from kept_cause(self._url, error)
        if got:
            self.taken = None
            return
        self._drop()
        advice = "give each agent its own agent.name"
        self.taken = f"{shown(self._url)}: another agent named {self._agent} uses this database; {advice}"

    def _drop(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            with suppress(SQLAlchemyError):
                held.invalidate()
            with suppress(SQLAlchemyError):
                held.close()
