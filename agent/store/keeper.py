"""Keeps the store well while the agent runs: one step a second on the file, the disk and what is too old.

A database that is deleted, replaced or damaged is noticed within a step and mended, loudly.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from agent.errors import StoreError
from agent.store.ballast import Ballast
from agent.store.claims import Claims
from agent.store.engine import Database
from agent.store.retention import Retention
from agent.store.writer import Writer

log = logging.getLogger(__name__)
# Long enough for whoever looks at health once a minute; `status` says it for good.
INCIDENT_SHOWN_S = 120.0
RENEW_AGAIN_S = 5.0


class StoreKeeper:
    """Owned by one thread; `problems` may be asked from any."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        retention: Retention,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        claims: Claims | None = None,
    ) -> None:
        """`claims`: of the folders that this run shares with other agents, on a server."""
        self._database = database
        self._writer = writer
        self._retention = retention
        self._claims = claims
        self._monotonic = monotonic
        self._wall = wall
        self._ballast = None if database.path is None else Ballast(database.path.parent)
        self._incident_until = monotonic() + INCIDENT_SHOWN_S
        self._renew_at = float("-inf")
        self._renewal: str | None = None
        self._maintenance: str | None = None
        self._server: str | None = None
        # Why the run must end.
        self.failure: str | None = None

    def step(self) -> None:
        """One turn; raises nothing: what goes wrong is a problem until a later turn succeeds."""
        self._mend()
        self._look_at_name()
        if self._ballast is not None:
            if self._database.was_full():
                self._ballast.release()
            else:
                self._ballast.keep()
        try:
            self._database.catch_up()
            if self._claims is not None:
                self._claims.turn()
            self._retention.turn(self._wall())
        except (StoreError, OSError) as error:
            if self._maintenance is None:
                log.warning("the store cannot be tidied, trying again every second: %s", error)
            self._maintenance = f"the store cannot be tidied: {error}"
        else:
            self._maintenance = None

    def problems(self) -> tuple[str, ...]:
        """Why the store is not well, one line each."""
        found = [self._renewal, self._server, self._maintenance]
        incident = self._database.incident
        if incident is not None and self._monotonic() < self._incident_until:
            found.append(f"{incident.text} ({incident.ts})")
        if self._ballast is not None and self._ballast.released:
            found.append("the disk of the database is full: its ballast is let go until there is room again")
        return tuple(text for text in found if text is not None)

    def _look_at_name(self) -> None:
        lock = self._database.name_lock
        if lock is None:
            return
        try:
            lock.look()
        except StoreError as error:
            self._server = f"the database server is away, trying again every second: {error}"
        else:
            self._server = None
            self.failure = lock.taken

    def _mend(self) -> None:
        now = self._monotonic()
        why = self._database.renewal_due()
        if why is None or now < self._renew_at:
            return
        log.error("the database is %s", why)
        try:
            if self._database.renew() is not None:
                self._incident_until = now + INCIDENT_SHOWN_S
            self._writer.carry_on()
        except (StoreError, OSError) as error:
            self._renewal = f"the database is {why} and cannot be mended: {error}"
            self._renew_at = now + RENEW_AGAIN_S
            log.error("%s", self._renewal)
        else:
            self._renewal = None
