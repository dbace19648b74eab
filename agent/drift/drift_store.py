"""The table `drift`: one row a line and profile, so that a restart forgets nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import ValidationError
from sqlalchemy import and_, insert, select, update

from agent.drift.line_drift import LineDrift
from agent.store.engine import Database
from agent.store.schema import drift

log = logging.getLogger(__name__)
Key = tuple[str, str]
"""Line, and id of the profile."""


class DriftStore:
    """Shares the writer's Database. All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> dict[Key, LineDrift]:
        """Every state; one that cannot be read is left out, and its watch begins anew."""
        query = select(drift).where(self._database.own(drift))
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        found = {}
        for row in rows:
            try:
                found[row.line, row.profile_id] = LineDrift.model_validate(row.state)
            except ValidationError:
                log.warning("line %s: what its drift watch had seen cannot be read; it begins anew", row.line)
        return found

    def save(self, states: Mapping[Key, LineDrift]) -> None:
        """All of them in one transaction."""
        now = datetime.now(UTC)
        with self._database.transaction() as connection:
            for (line, profile_id), state in states.items():
                values = {"updated": now, "state": state.model_dump(mode="json")}
                same = and_(self._database.own(drift), drift.c.line == line, drift.c.profile_id == profile_id)
                if connection.execute(update(drift).where(same).values(values)).rowcount == 0:
                    key = {"agent": self._database.agent, "line": line, "profile_id": profile_id}
                    connection.execute(insert(drift).values({**key, **values}))
