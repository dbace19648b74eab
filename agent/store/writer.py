"""One transaction per inspection: its row, its event steps, its messages and the state of its file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from sqlalchemy import Connection, and_, bindparam, func, insert, select, update

from agent.errors import ClaimLost, StoreError
from agent.records import SUPERSEDED, Disposition, EventKind, EventStep, FileState, FileVerdict, Inspection, StepType
from agent.store.engine import Database
from agent.store.outbox import Draft, put
from agent.store.schema import claims, events, files, inspections, meta, runs
from fbclip.decision import Verdict


class Writer:
    """Writes the store, for one run of the agent.

    All methods may be called from any thread: they share the Database's one connection behind its lock, each
    call one transaction. All raise StoreError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._run: str | None = None
        self._stream_id = ""
        own = database.own(files)
        self._moved, self._gone = _MOVED.where(own), _GONE.where(own)
        self.carry_on()

    @property
    def agent(self) -> str:
        """Whose rows these are."""
        return self._database.agent

    @property
    def stream_id(self) -> str:
        """Born with the database; message_seq counts within it."""
        return self._stream_id

    def start_run(self, run: str, restart_draft: Callable[[EventStep], Draft | None]) -> int:
        """Begin a run; events that earlier runs left open get `end` "restart". Returns how many."""
        now = datetime.now(UTC)
        with self._database.transaction() as connection:
            connection.execute(insert(runs).values(run=run, agent=self._database.agent, started=now, clean=False))
            still_open = select(events).where(self._database.own(events), events.c.ended.is_(None))
            left = connection.execute(still_open.order_by(events.c.id)).all()
            steps = [
                EventStep(row.event_id, EventKind(row.kind), StepType.END, row.line, now, "restart") for row in left
            ]
            for step in steps:
                _end(connection, step)
            drafts = [draft for step in steps if (draft := restart_draft(step)) is not None]
            put(connection, self._database.agent, run, drafts)
        self._run = run
        return len(steps)

    def carry_on(self) -> None:
        """Go on in a database that was made anew: learn its stream, and enter the run where it is not known."""
        with self._database.transaction() as connection:
            query = select(meta.c.value).where(meta.c.key == self._database.key("stream_id"))
            self._stream_id = str(connection.execute(query).scalar_one())
            if self._run is None:
                return
            if connection.execute(select(runs.c.id).where(runs.c.run == self._run)).first() is None:
                row = {"run": self._run, "agent": self._database.agent, "started": datetime.now(UTC), "clean": False}
                connection.execute(insert(runs).values(row))

    def record(
        self, inspection: Inspection, steps: Sequence[EventStep], drafts: Sequence[Draft], cause: int | None = None
    ) -> int:
        """All of one inspection, or nothing of it; returns its id. One that was recorded already is left as it is.

        A full disk can fail the copy of the unsent messages after the database itself has committed, and a server can
        be lost while it commits: whoever then tries again must not be told for ever that the row is there.
        `cause`: the id of the inspection that the steps are about, this one unless told.

        Raises ClaimLost where the file is another agent's by now.
        """
        agent = self._database.agent
        with self._database.transaction() as connection:
            recorded = _recorded_id(connection, inspection)
            if recorded is not None:
                return recorded
            file_id = _known_file(connection, agent, inspection)
            inspection_id = _insert(connection, agent, inspection, file_id)
            for step in steps:
                _apply(connection, agent, inspection.run, step, inspection_id if cause is None else cause)
            put(connection, agent, inspection.run, drafts)
            for one in inspection.files:
                _judge_slice(connection, one, inspection_id)
            if file_id is not None and not inspection.files:
                _judge_file(connection, file_id, inspection)
        return inspection_id

    def end_events(self, steps: Sequence[EventStep], drafts: Sequence[Draft]) -> None:
        """Event ends without an inspection, as at shutdown; ends that are written already are not told again."""
        with self._database.transaction() as connection:
            still_open = events.c.event_id.in_([step.event_id for step in steps]) & events.c.ended.is_(None)
            if steps and connection.execute(select(events.c.id).where(still_open)).first() is None:
                return
            for step in steps:
                _end(connection, step)
            put(connection, self._database.agent, self._started(), drafts)

    def post(self, drafts: Sequence[Draft]) -> None:
        """Messages that no inspection caused, as the answer to a command."""
        with self._database.transaction() as connection:
            put(connection, self._database.agent, self._started(), drafts)

    def name_images(self, inspection_id: int, image_ref: str | None, overlay_ref: str | None) -> None:
        """Of an inspection whose images were written after it."""
        values = {"image_ref": image_ref, "overlay_ref": overlay_ref}
        this = (self._database.own(inspections), inspections.c.id == inspection_id)
        with self._database.transaction() as connection:
            connection.execute(update(inspections).where(*this).values(values))

    def finish_disposition(self, file_id: int, gone: bool = False, left: bool = False) -> None:
        """The judged file has been moved, or is `left` where it is, or is `gone`, which is its reason where the verdict
        had none. The row of one that was left is what keeps it from being judged again."""
        disposition = Disposition.LEFT if left else Disposition.FINISHED
        with self._database.transaction() as connection:
            connection.execute(self._gone if gone else self._moved, {"of_id": file_id, "to": disposition})

    def end_run(self, clean: bool) -> None:
        """The run is over; `clean` False makes the next start check the file."""
        with self._database.transaction() as connection:
            change = update(runs).where(runs.c.run == self._started())
            connection.execute(change.values(ended=datetime.now(UTC), clean=clean))

    def _started(self) -> str:
        if self._run is None:
            raise StoreError("no run has been started")
        return self._run


# Statements are built once: to build one costs more than to run it.
_FIND_RECORDED = select(
    inspections.c.id,
    # Compared by the database, which keeps a path in its own spelling.
    and_(
        inspections.c.ts == bindparam("ts"),
        inspections.c.verdict == bindparam("verdict"),
        inspections.c.path.is_not_distinct_from(bindparam("path", type_=inspections.c.path.type)),
        inspections.c.sha256.is_not_distinct_from(bindparam("sha256", type_=inspections.c.sha256.type)),
    ).label("same"),
).where(
    inspections.c.run == bindparam("run"),
    inspections.c.line == bindparam("line"),
    inspections.c.frame_seq == bindparam("frame_seq"),
)
_HOLDER = select(claims.c.run).where(claims.c.file_id == files.c.id).scalar_subquery()
_FIND_FILE = (
    select(files.c.id, files.c.agent, _HOLDER.label("run"))
    .where(files.c.id == bindparam("file_id"))
    .with_for_update(of=files)
)
_INSERT = insert(inspections)
_THIS_FILE = update(files).where(files.c.id == bindparam("of_id"))
_JUDGED = _THIS_FILE.values(state=bindparam("now"), reason=bindparam("why"), disposition=Disposition.PENDING)
_MOVED = _THIS_FILE.values(disposition=bindparam("to"))
_GONE = _MOVED.values(reason=func.coalesce(files.c.reason, "gone"))


def _recorded_id(connection: Connection, i: Inspection) -> int | None:
    """Of this very inspection, None if it is not there. Raises StoreError where another has its place."""
    place = {"run": i.run, "line": i.line, "frame_seq": i.frame_seq}
    values = {"ts": i.ts, "verdict": i.decision.verdict, "path": i.path, "sha256": i.sha256}
    found = connection.execute(_FIND_RECORDED, {**place, **values}).first()
    if found is None:
        return None
    if not found.same:
        raise StoreError(f"line {i.line}: another inspection has number {i.frame_seq} of this run; restart the agent")
    return int(found.id)


def _known_file(connection: Connection, agent: str, inspection: Inspection) -> int | None:
    """The ledger's row of the judged file; None where the database was made anew while the file was judged.

    The row stays locked until the verdict is committed, so that nobody takes the file over in between.
    """
    if inspection.file_id is None:
        return None
    found = connection.execute(_FIND_FILE, {"file_id": inspection.file_id}).first()
    if found is None:
        return None
    if found.agent != agent or found.run not in (None, inspection.run):
        raise ClaimLost(f"line {inspection.line}: file {found.id} is another agent's by now: {found.agent}")
    return int(found.id)


def _insert(connection: Connection, agent: str, i: Inspection, file_id: int | None) -> int:
    d = i.decision
    row = {
        "agent": agent,
        "run": i.run,
        "line": i.line,
        "frame_seq": i.frame_seq,
        "ts": i.ts,
        "mode": i.mode,
        "path": i.path,
        "frame_number": i.frame_number,
        "file_id": file_id,
        "sha256": i.sha256,
        "width": i.width,
        "height": i.height,
        "verdict": d.verdict,
        "reason": d.reason,
        "margin": d.margin,
        "score": d.score,
        "threshold": d.threshold,
        "z": d.z,
        "regions": [asdict(region) for region in d.regions],
        "profile_id": i.profile_id,
        "model_id": i.model_id,
        "queue_ms": i.latency.queue,
        "infer_ms": i.latency.infer,
        "total_ms": i.latency.total,
        "discrete": i.discrete,
        "image_ref": i.image_ref,
        "overlay_ref": i.overlay_ref,
        "context": None if i.context is None else dict(i.context),
    }
    key = connection.execute(_INSERT, row).inserted_primary_key
    assert key is not None
    return int(key[0])


def _apply(connection: Connection, agent: str, run: str, step: EventStep, inspection_id: int) -> None:
    if step.type is StepType.NEW:
        row = {
            "agent": agent,
            "event_id": step.event_id,
            "run": run,
            "line": step.line,
            "kind": step.kind,
            "opened": step.ts,
            "updated": step.ts,
            "inspection_id": inspection_id,
        }
        connection.execute(insert(events).values(row))
    elif step.type is StepType.UPDATE:
        connection.execute(update(events).where(events.c.event_id == step.event_id).values(updated=step.ts))
    else:
        _end(connection, step)


def _end(connection: Connection, step: EventStep) -> None:
    change = update(events).where(events.c.event_id == step.event_id)
    connection.execute(change.values(updated=step.ts, ended=step.ts, end_reason=step.reason))


def _judge_file(connection: Connection, file_id: int, inspection: Inspection) -> None:
    rejected = inspection.decision.verdict is Verdict.REJECTED
    state = FileState.FAILED if rejected else FileState.DONE
    connection.execute(_JUDGED, {"of_id": file_id, "now": state, "why": inspection.decision.reason})


def _judge_slice(connection: Connection, one: FileVerdict, inspection_id: int) -> None:
    """A file of a series; one that has left its folder after an earlier verdict stays where it went."""
    found: dict[str, object] = {"inspection_id": inspection_id}
    if one.was_judged and one.reason == SUPERSEDED:
        found["reason"] = SUPERSEDED
    if not one.was_judged:
        found |= {"state": one.state, "reason": one.reason, "disposition": Disposition.PENDING}
    connection.execute(update(files).where(files.c.id == one.file_id).values(**found))
