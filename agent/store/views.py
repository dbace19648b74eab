"""Questions of the page: events with their cause, one inspection with what was said of it, a line's history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, func, select
from sqlalchemy.engine import Row

from agent.store.engine import Database
from agent.store.schema import HAS_FEEDBACK, audit, events, feedback, files, inspections

# What no page can show is not read either.
MOST_ROWS = 500


@dataclass(frozen=True)
class FeedbackRow:
    """What somebody said of an inspection; `label` is normal or anomalous."""

    inspection_id: int
    ts: datetime
    label: str
    note: str | None
    by: str | None
    origin: str | None


@dataclass(frozen=True)
class EventQuery:
    """Which events: None asks for all. `before`: only those with a smaller id, for the next page."""

    line: str | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    limit: int = 50


@dataclass(frozen=True)
class EventView:
    """An event with the inspection that opened it: its cause, its values, the mode that its line was in.

    `mode`, `cause` and what follows are None where retention has deleted the inspection.
    """

    id: int
    event_id: str
    line: str
    kind: str
    opened: datetime
    ended: datetime | None
    end_reason: str | None
    inspection_id: int | None
    mode: str | None
    cause: str | None
    z: float | None
    threshold: float | None
    verdict: str | None
    said: FeedbackRow | None = None


@dataclass(frozen=True)
class HistoryRow:
    """One inspection of a line, in short."""

    id: int
    ts: datetime
    verdict: str
    reason: str | None
    z: float | None
    threshold: float | None
    has_image: bool


@dataclass(frozen=True)
class AuditRow:
    """Who told the agent what."""

    ts: datetime
    origin: str
    verb: str
    line: str | None
    by: str | None
    ok: bool
    text: str


class Views:
    """What the database's own agent wrote. All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def events(self, query: EventQuery) -> tuple[EventView, ...]:
        """Newest first."""
        own = self._database.own(events)
        first = inspections
        conditions = [own]
        for wanted, column in ((query.line, events.c.line), (query.kind, events.c.kind)):
            if wanted is not None:
                conditions.append(column == wanted)
        if query.since is not None:
            conditions.append(events.c.opened >= query.since)
        if query.until is not None:
            conditions.append(events.c.opened < query.until)
        if query.before is not None:
            conditions.append(events.c.id < query.before)
        asked = (
            select(
                events.c.id, events.c.event_id, events.c.line, events.c.kind, events.c.opened, events.c.ended,
                events.c.end_reason, events.c.inspection_id, first.c.mode, first.c.reason.label("cause"), first.c.z,
                first.c.threshold, first.c.verdict,
            )
            .select_from(events.outerjoin(first, events.c.inspection_id == first.c.id))
            .where(and_(*conditions))
            .order_by(events.c.id.desc())
            .limit(min(query.limit, MOST_ROWS))
        )  # fmt: skip
        with self._database.transaction() as connection:
            rows = connection.execute(asked).all()
        said = self.feedback(row.inspection_id for row in rows if row.inspection_id is not None)
        return tuple(EventView(**row._mapping, said=said.get(row.inspection_id or 0)) for row in rows)

    def newest_event(self) -> int:
        """Its id, 0 without any."""
        with self._database.transaction() as connection:
            query = select(func.max(events.c.id)).where(self._database.own(events))
            return int(connection.execute(query).scalar() or 0)

    def event_of(self, inspection_id: int) -> EventView | None:
        """The event that an inspection opened."""
        query = select(events.c.id).where(self._database.own(events), events.c.inspection_id == inspection_id)
        with self._database.transaction() as connection:
            found = connection.execute(query.order_by(events.c.id).limit(1)).scalar()
        if found is None:
            return None
        views = self.events(EventQuery(before=int(found) + 1, limit=1))
        return views[0] if views and views[0].id == found else None

    def history(self, line: str, around: int | None = None, limit: int = 12) -> tuple[HistoryRow, ...]:
        """Inspections of a line, newest first: the latest, or up to half of `limit` on either side of `around`."""
        if around is None:
            return tuple(self._history(self._of_line(line).order_by(inspections.c.id.desc()).limit(limit)))
        after = self._of_line(line).where(inspections.c.id > around).order_by(inspections.c.id).limit(limit // 2)
        until = self._of_line(line).where(inspections.c.id <= around).order_by(inspections.c.id.desc())
        return (*reversed(self._history(after)), *self._history(until.limit(limit - limit // 2)))

    def feedback(self, ids: Iterable[int]) -> Mapping[int, FeedbackRow]:
        """By inspection; of several the last one counts."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        own, some = self._database.own(feedback), feedback.c.inspection_id.in_(wanted)
        with self._database.transaction() as connection:
            rows = connection.execute(_feedback().where(own, some).order_by(feedback.c.id)).all()
        return {row.inspection_id: FeedbackRow(**row._mapping) for row in rows}

    def feedback_on(self, inspection_id: int) -> tuple[FeedbackRow, ...]:
        """All that was said of one inspection, latest first."""
        own, this = self._database.own(feedback), feedback.c.inspection_id == inspection_id
        with self._database.transaction() as connection:
            rows = connection.execute(_feedback().where(own, this).order_by(feedback.c.id.desc()).limit(50)).all()
        return tuple(FeedbackRow(**row._mapping) for row in rows)

    def judged(self, line: str | None = None) -> tuple[int, ...]:
        """Ids of the inspections with feedback, oldest first."""
        query = select(inspections.c.id).where(self._database.own(inspections), HAS_FEEDBACK)
        if line is not None:
            query = query.where(inspections.c.line == line)
        with self._database.transaction() as connection:
            return tuple(connection.execute(query.order_by(inspections.c.id)).scalars())

    def series(self, file_ids: Iterable[int]) -> Mapping[int, str]:
        """What tells the series of a file from others, by the file's id; of files that are slices of one."""
        wanted = sorted(set(file_ids))
        found: dict[int, str] = {}
        with self._database.transaction() as connection:
            for start in range(0, len(wanted), MOST_ROWS):
                some = files.c.id.in_(wanted[start : start + MOST_ROWS])
                query = select(files.c.id, files.c.series).where(self._database.own(files), some)
                found |= dict(map(tuple, connection.execute(query.where(files.c.series.is_not(None)))))
        return found

    def audit(self, line: str | None = None, limit: int = 20) -> tuple[AuditRow, ...]:
        """Newest first."""
        columns = [audit.c[name] for name in AuditRow.__dataclass_fields__]
        query = select(*columns).where(self._database.own(audit)).order_by(audit.c.id.desc()).limit(limit)
        if line is not None:
            query = query.where(audit.c.line == line)
        with self._database.transaction() as connection:
            return tuple(AuditRow(**row._mapping) for row in connection.execute(query))

    def _of_line(self, line: str) -> Select[Any]:
        columns = [inspections.c[name] for name in ("id", "ts", "verdict", "reason", "z", "threshold")]
        has_image = inspections.c.image_ref.is_not(None).label("has_image")
        return select(*columns, has_image).where(self._database.own(inspections), inspections.c.line == line)

    def _history(self, query: Select[Any]) -> Sequence[HistoryRow]:
        with self._database.transaction() as connection:
            rows: Sequence[Row[Any]] = connection.execute(query).all()
        return [HistoryRow(**row._mapping) for row in rows]


def _feedback() -> Select[Any]:
    return select(*(feedback.c[name] for name in FeedbackRow.__dataclass_fields__))
