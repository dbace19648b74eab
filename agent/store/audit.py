"""Who told the agent what, when, and what came of it; and what operators say of events and inspections."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select

from agent.store.engine import Database
from agent.store.schema import audit, events, feedback, inspections


@dataclass(frozen=True)
class AuditEntry:
    """`origin`: mqtt, ctl, page or signal; `by`: who it was, in their own words unless they signed in; `detail`: what
    was asked and changed."""

    origin: str
    verb: str
    ok: bool
    text: str
    by: str | None = None
    line: str | None = None
    detail: dict[str, Any] | None = None
    ts: datetime | None = None


@dataclass(frozen=True)
class Said:
    """Feedback on an inspection. `label`: normal or anomalous; `by`: who it was, in their own words."""

    label: str
    note: str | None = None
    by: str | None = None
    origin: str | None = None


class AuditLog:
    """Shares the writer's Database. All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, entry: AuditEntry) -> None:
        """One row, which nothing changes and retention deletes by its age."""
        row = {
            "agent": self._database.agent,
            "ts": entry.ts or datetime.now(UTC),
            "origin": entry.origin,
            "verb": entry.verb,
            "line": entry.line,
            "by": entry.by,
            "ok": entry.ok,
            "text": entry.text,
            "detail": entry.detail,
        }
        with self._database.transaction() as connection:
            connection.execute(insert(audit).values(row))

    def entries(self, limit: int = 50) -> tuple[AuditEntry, ...]:
        """Newest first."""
        query = select(audit).where(self._database.own(audit)).order_by(audit.c.id.desc()).limit(limit)
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return tuple(AuditEntry(r.origin, r.verb, r.ok, r.text, r.by, r.line, r.detail, r.ts) for r in rows)

    def line_of_event(self, event_id: str) -> str | None:
        """None if there is no such event."""
        own = self._database.own(events)
        with self._database.transaction() as connection:
            found = connection.execute(select(events.c.line).where(own, events.c.event_id == event_id)).scalar()
        return None if found is None else str(found)

    def add_feedback(self, inspection_id: int, said: Said) -> str | None:
        """What an inspected unit really was; returns the line, None if there is no such inspection."""
        query = select(inspections.c.line).where(self._database.own(inspections), inspections.c.id == inspection_id)
        with self._database.transaction() as connection:
            line = connection.execute(query).scalar()
            if line is None:
                return None
            row = {
                "agent": self._database.agent,
                "inspection_id": inspection_id,
                "ts": datetime.now(UTC),
                "label": said.label,
                "note": said.note,
                "by": said.by,
                "origin": said.origin,
            }
            connection.execute(insert(feedback).values(row))
        return str(line)
