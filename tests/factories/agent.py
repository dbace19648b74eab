"""Records of the agent, and stand-ins for what it meets: a clock, cameras, sinks, a broker and its outbox."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import text

from agent.errors import MqttError, StoreError
from agent.mqtt.interface import Ack
from agent.pipeline.judged import Judged
from agent.records import EventKind, EventStep, Frame, Inspection, Latency, LineMode, Message, StepType
from agent.sources.sinks import Tally
from agent.store.engine import Database
from agent.store.outbox import Draft, Parked
from agent.store.reader import InspectionRow, Reader
from fbclip.decision import Decision, Verdict, reject

COMMITTED = datetime(2026, 1, 2, tzinfo=UTC)


def an_inspection(verdict: Verdict = Verdict.OK, seq: int = 1, **changes: Any) -> Inspection:
    decision = Decision(verdict, None, 1.5, 2.5, 0.9, 1.0)
    values: dict[str, Any] = {
        "run": "run-1",
        "line": "belt",
        "frame_seq": seq,
        "ts": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
        "mode": LineMode.LIVE,
        "decision": reject("black") if verdict is Verdict.REJECTED else decision,
        "width": 640,
        "height": 480,
        "sha256": "ab" * 32,
        "path": None,
        "frame_number": seq,
        "file_id": None,
        "profile_id": "p",
        "model_id": "m",
        "latency": Latency(1.0, 2.0, 3.0),
        "discrete": False,
    }
    return Inspection(**{**values, **changes})


def a_frame(seq: int = 1, line: str = "belt", image: np.ndarray | None = None, reason: str | None = None) -> Frame:
    return Frame(line, seq, datetime(2026, 1, 1, tzinfo=UTC), 5.0, image, reason)


def a_judged(inspection: Inspection, frame: Frame | None = None) -> Judged:
    """Without a map: as of a line without a profile."""
    return Judged(inspection, frame or a_frame(inspection.frame_seq, inspection.line), None, None, None)


def a_draft(line: str = "belt") -> Draft:
    return Draft(line, f"t/{line}/event", {"schema": "fbclip.event/1", "line": line})


def a_step(kind: StepType, event_id: str = "e1", reason: str | None = None) -> EventStep:
    return EventStep(event_id, EventKind.ANOMALY, kind, "belt", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), reason)


def row_count(database: Database, table: str) -> int:
    with database.transaction() as connection:
        return int(connection.execute(text(f"select count(*) from {table}")).scalar_one())


def stored_inspections(database: Database) -> list[InspectionRow]:
    """All of them, oldest first."""
    reader = Reader(database)
    rows = [reader.inspection(number) for number in range(1, row_count(database, "inspections") + 1)]
    return [row for row in rows if row is not None]


class FakeClock:
    """`wait` moves the time and returns at once; at `end` it sets `stop`, which ends a loop under test."""

    def __init__(self, stop: threading.Event | None = None, end: float = float("inf")) -> None:
        self.time = 100.0
        self.waits: list[float] = []
        self._stop, self._end = stop, 100.0 + end

    def monotonic(self) -> float:
        return self.time

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        if not event.is_set():
            self.time += seconds
        if self._stop is not None and self.time >= self._end:
            self._stop.set()
        return event.is_set()


class KeepingSink:
    """A sink that keeps everything and never blocks."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.frames = []

    def put(self, frame, stop) -> bool:
        self.tally.grabbed()
        self.frames.append(frame)
        return True

    def get(self, timeout):
        return self.frames.pop(0) if self.frames else None

    def discard(self, reason):
        self.frames.clear()
        return 0


class KeepingObserver:
    """Remembers what it heard of inspections."""

    def __init__(self) -> None:
        self.heard: list[Judged] = []

    def inspected(self, judged: Judged) -> None:
        self.heard.append(judged)


@dataclass
class FakeMqttClient:
    """A client that loses, refuses and reuses as it is told to."""

    connected: bool = True
    connections: int = 1
    receive_maximum: int = 65535
    maximum_packet: int | None = None
    sent: list[tuple[int, str, bytes, bool]] = field(default_factory=list)
    queue: list[Ack] = field(default_factory=list)
    answering: bool = False
    refusing: bool = False
    next_mid: int = 0
    restarts: int = 0
    closed: bool = False
    wake: Callable[[], None] = lambda: None

    def connect(self) -> None: ...

    def listen(self, topics: str, hear: Any) -> None:
        self.ears = (topics, hear)

    def deafen(self) -> None: ...

    def notify(self, wake: Callable[[], None]) -> None:
        self.wake = wake

    def service(self, idle: bool) -> None: ...

    def publish(self, topic: str, payload: bytes, retain: bool) -> int:
        if self.refusing:
            raise MqttError("not taken")
        self.next_mid += 1
        self.sent.append((self.next_mid, topic, payload, retain))
        if self.answering:
            self.ack(self.next_mid)
        return self.next_mid

    def ack(self, mid: int, failed: bool = False) -> None:
        self.queue.append(Ack(mid, failed, "why"))
        self.wake()

    def acks(self) -> tuple[Ack, ...]:
        out, self.queue = tuple(self.queue), []
        return out

    def restart(self) -> None:
        self.restarts += 1
        self.queue.clear()
        self.connections += 1

    def problem(self) -> str | None:
        return None

    def notes(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        self.closed = True


class FakeRows:
    """An outbox of `count` rows in memory."""

    def __init__(self, count: int) -> None:
        self.waiting = list(range(1, count + 1))
        self.reasons: dict[int, tuple[str, bool]] = {}
        self.bodies: dict[int, dict[str, Any]] = {}
        self.broken = False

    def pending(self, limit: int, exclude_ids: Collection[int] = ()) -> tuple[Message, ...]:
        ids = [i for i in self.waiting if i not in exclude_ids and i not in self.reasons][:limit]
        return tuple(
            Message(i, f"m{i}", "t/event", self.bodies.get(i, {"message_id": f"m{i}"}), COMMITTED, "run-1") for i in ids
        )

    def mark_sent(self, ids: Collection[int]) -> None:
        if self.broken and ids:
            raise StoreError("disk full")
        self.waiting = [i for i in self.waiting if i not in ids]

    def park(self, ids: Collection[int], reason: str, held: bool) -> None:
        self.reasons |= dict.fromkeys(ids, (reason, held))

    def release(self, held: bool) -> None:
        self.reasons = {i: why for i, why in self.reasons.items() if why[1] and not held}

    def parked(self) -> Parked:
        return Parked(len(self.reasons), "belt", "why") if self.reasons else Parked()
