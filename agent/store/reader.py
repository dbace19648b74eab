"""Read-only questions for the page and the commands; every answer is frozen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Column, Table, func, select, true
from sqlalchemy.engine import Row

from agent.records import EventKind, Inspection, Latency, LineMode
from agent.store.engine import Database
from agent.store.opening import INCIDENT_KEY, Incident, read_incident
from agent.store.outbox import Outbox, Parked
from agent.store.schema import events, files, inspections, meta, runs
from fbclip.decision import Decision, Region, Verdict


@dataclass(frozen=True)
class InspectionRow:
    """One stored inspection; latencies in milliseconds. `context`: what its trigger or its scan said, as JSON."""

    id: int
    run: str
    line: str
    frame_seq: int
    ts: datetime
    mode: str
    path: str | None
    frame_number: int | None
    file_id: int | None
    sha256: str | None
    verdict: Verdict
    reason: str | None
    margin: float | None
    score: float | None
    threshold: float | None
    z: float | None
    regions: tuple[Region, ...]
    width: int | None
    height: int | None
    profile_id: str | None
    model_id: str | None
    total_ms: float
    image_ref: str | None
    overlay_ref: str | None
    context: Mapping[str, Any] | None


@dataclass(frozen=True)
class FileFacts:
    """A file of the ledger. `inspection_id`: of the series it belongs to; `verdicts`: inspections of itself, also those
    of an agent that it was taken over from."""

    id: int
    agent: str
    path: str
    size: int
    mtime_ns: int
    sha256: str
    state: str
    reason: str | None
    disposition: str | None
    added: datetime
    inspection_id: int | None
    verdicts: int


@dataclass(frozen=True)
class EventRow:
    """One episode; `ended` is None while it is open."""

    event_id: str
    line: str
    kind: EventKind
    opened: datetime
    updated: datetime
    ended: datetime | None
    end_reason: str | None
    inspection_id: int | None


@dataclass(frozen=True)
class StoreStatus:
    """The store at a glance; `run` is the latest one, `incident` what last befell the database.

    `unsent`: messages that wait, without the `parked` ones.
    """

    stream_id: str
    run: str | None
    started: datetime | None
    open_events: int
    unsent: int
    oldest_unsent: datetime | None
    parked: Parked
    incident: Incident | None


class Reader:
    """What the database's own agent wrote.

    Asks a Database of `open_reader` (or the writer's). All methods raise StoreError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._outbox = Outbox(database)

    def status(self) -> StoreStatus:
        with self._database.transaction() as connection:
            stream_id = connection.execute(
                select(meta.c.value).where(meta.c.key == self._database.key("stream_id"))
            ).scalar_one()
            run = connection.execute(
                select(runs).where(self._database.own(runs)).order_by(runs.c.id.desc()).limit(1)
            ).first()
            own = self._database.own(events)
            still_open = select(func.count()).select_from(events).where(own, events.c.ended.is_(None))
            open_events = connection.execute(still_open).scalar_one()
            incident = connection.execute(select(meta.c.value).where(meta.c.key == INCIDENT_KEY)).scalar()
        unsent, oldest_unsent = self.waiting()
        return StoreStatus(
            stream_id=stream_id,
            run=None if run is None else run.run,
            started=None if run is None else run.started,
            open_events=open_events,
            unsent=unsent,
            oldest_unsent=oldest_unsent,
            parked=self._outbox.parked(),
            incident=read_incident(incident),
        )

    def waiting(self) -> tuple[int, datetime | None]:
        """How many messages wait for the broker, and when the oldest of them was committed (UTC)."""
        return self._outbox.count(), self._outbox.oldest()

    def inspection(self, inspection_id: int) -> InspectionRow | None:
        """One inspection, or None if there is none of that id."""
        if not 0 < inspection_id < 2**63:
            return None
        own = self._database.own(inspections)
        with self._database.transaction() as connection:
            row = connection.execute(
                select(*_columns(inspections, InspectionRow)).where(own, inspections.c.id == inspection_id)
            ).first()
        return None if row is None else _inspection(row)

    def inspections(self, ids: Collection[int]) -> dict[int, InspectionRow]:
        """Those of them that there are, by id."""
        # Whose they are is looked at here: told of the agent, SQLite walks through all its rows instead of these ids.
        query = select(*_columns(inspections, InspectionRow), self._database.own(inspections).label("own"))
        rows: Any
        with self._database.transaction() as connection:
            rows = connection.execute(query.where(inspections.c.id.in_(list(ids)))).all()
        return {row.id: _inspection(row) for row in rows if row.own}

    def result_of_file(self, file_id: int) -> Inspection | None:
        """The latest inspection of a file as it was recorded; its advice is not kept, nor whether it is private."""
        own = self._database.own(inspections)
        query = select(inspections).where(own, inspections.c.file_id == file_id).order_by(inspections.c.id.desc())
        with self._database.transaction() as connection:
            row = connection.execute(query.limit(1)).first()
        if row is None:
            return None
        regions = tuple(map(_region, row.regions))
        decision = Decision(Verdict(row.verdict), row.reason, row.z, row.margin, row.score, row.threshold, regions)
        return Inspection(
            run=row.run,
            line=row.line,
            frame_seq=row.frame_seq,
            ts=row.ts,
            mode=LineMode(row.mode),
            decision=decision,
            width=row.width,
            height=row.height,
            sha256=row.sha256,
            path=row.path,
            frame_number=row.frame_number,
            file_id=row.file_id,
            profile_id=row.profile_id,
            model_id=row.model_id,
            latency=Latency(row.queue_ms, row.infer_ms, row.total_ms),
            discrete=row.discrete,
            image_ref=row.image_ref,
            overlay_ref=row.overlay_ref,
            context=row.context,
        )

    def recent_events(self, line: str | None = None, limit: int = 50) -> tuple[EventRow, ...]:
        """Newest first, of one line or all."""
        query = select(*_columns(events, EventRow)).where(self._database.own(events))
        query = query.order_by(events.c.id.desc()).limit(limit)
        if line is not None:
            query = query.where(events.c.line == line)
        with self._database.transaction() as connection:
            return tuple(map(_event, connection.execute(query)))

    def file_rows(self, line: str, ids: Collection[int] | None = None, shared: bool = False) -> Iterator[FileFacts]:
        """Every file of a line in the ledger, or those of `ids`, in the order in which they came; where the line is
        `shared`, those of all agents."""
        told = select(func.count()).where(inspections.c.file_id == files.c.id).scalar_subquery()
        columns = (*(files.c[name] for name in FileFacts.__dataclass_fields__ if name != "verdicts"), told)
        query = select(*columns).where(true() if shared else self._database.own(files), files.c.line == line)
        if ids is not None:
            query = query.where(files.c.id.in_(list(ids)))
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(files.c.id)).all()
        for row in rows:
            yield FileFacts(*row)

    def first_inspection(self, line: str, agent: str) -> datetime | None:
        """When the oldest inspection of an agent's line was, of those that are kept."""
        query = select(inspections.c.ts).where(inspections.c.agent == agent, inspections.c.line == line)
        with self._database.transaction() as connection:
            found = connection.execute(query.order_by(inspections.c.id).limit(1)).scalar()
        return None if found is None else cast("datetime", found)

    def judged_files(self) -> Iterator[tuple[str, str, str]]:
        """Line, path and sha256 of every file of the ledger that was opened, newest first."""
        opened = (self._database.own(files), files.c.sha256 != "")
        query = select(files.c.line, files.c.path, files.c.sha256).where(*opened)
        with self._database.transaction() as connection:
            for row in connection.execute(query.order_by(files.c.id.desc())):
                yield row.line, row.path, row.sha256

    def totals(self, line: str) -> dict[Verdict, int]:
        """Stored inspections of a line by verdict, zeros included."""
        own = self._database.own(inspections)
        query = select(inspections.c.verdict, func.count()).where(own, inspections.c.line == line)
        with self._database.transaction() as connection:
            rows = connection.execute(query.group_by(inspections.c.verdict))
            found = {name: int(count) for name, count in rows}
        return {verdict: found.get(verdict, 0) for verdict in Verdict}


def _columns(table: Table, kind: type[InspectionRow | EventRow]) -> list[Column[Any]]:
    """Those that are asked for: an earlier version has no others."""
    return [table.c[name] for name in kind.__dataclass_fields__]


def _region(stored: Mapping[str, Any]) -> Region:
    return Region(tuple(stored["box"]), stored["area_px"], stored["margin_max"])


def _inspection(row: Row[Any]) -> InspectionRow:
    regions = tuple(map(_region, row.regions))
    plain = {name: getattr(row, name) for name in InspectionRow.__dataclass_fields__}
    return InspectionRow(**{**plain, "verdict": Verdict(row.verdict), "regions": regions})


def _event(row: Row[Any]) -> EventRow:
    plain = {name: getattr(row, name) for name in EventRow.__dataclass_fields__}
    return EventRow(**{**plain, "kind": EventKind(row.kind)})
