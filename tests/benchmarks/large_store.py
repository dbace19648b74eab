"""With a million inspections in the store: what `agent events`, `agent status` and the page ask, in milliseconds.

Run by hand: `python -m tests.benchmarks.large_store [INSPECTIONS]`. One in fifty inspections opened an event.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import insert

from agent.store.access import open_reader, open_writer
from agent.store.engine import DEFAULT_AGENT
from agent.store.outbox import Outbox
from agent.store.reader import Reader
from agent.store.schema import events, inspections, outbox, runs, sequences
from agent.store.views import Views
from agent.web.events import recent_events

BLOCK = 10_000
LINES = 8
AN_EVENT = 50
START = datetime(2026, 1, 1, tzinfo=UTC)
TURNS = 9


def fill(url: str, count: int) -> None:
    """Rows as the writer makes them: a verdict each, every fiftieth with an event and its two messages, sent."""
    database = open_writer(url)
    with database.transaction() as connection:
        connection.execute(insert(runs).values(run="run-1", agent=DEFAULT_AGENT, started=START, clean=False))
        connection.execute(
            insert(sequences), [{"agent": DEFAULT_AGENT, "line": f"line-{n}", "last": count} for n in range(LINES)]
        )
    for first in range(0, count, BLOCK):
        numbers = range(first, min(first + BLOCK, count))
        with database.transaction() as connection:
            connection.execute(insert(inspections), [_inspection(number) for number in numbers])
            connection.execute(insert(events), [_event(number) for number in numbers if not number % AN_EVENT])
            connection.execute(
                insert(outbox),
                [_message(number, half) for number in numbers if not number % AN_EVENT for half in (0, 1)],
            )
    database.close()


def _inspection(number: int) -> dict[str, Any]:
    anomaly = not number % AN_EVENT
    region = {"box": [1, 2, 30, 40], "area_px": 900, "margin_max": 1.5}
    return {
        "agent": DEFAULT_AGENT,
        "run": "run-1", "line": f"line-{number % LINES}", "frame_seq": number, "ts": _at(number), "mode": "live",
        "sha256": f"{number:064x}", "width": 640, "height": 480, "verdict": "anomaly" if anomaly else "ok",
        "margin": 1.0, "score": 0.7, "threshold": 1.0, "z": 1.5, "regions": [region] if anomaly else [],
        "profile_id": "p" * 64, "model_id": "m" * 64, "queue_ms": 1.0, "infer_ms": 2.0, "total_ms": 3.0,
        "discrete": False,
    }  # fmt: skip


def _event(number: int) -> dict[str, Any]:
    return {
        "agent": DEFAULT_AGENT,
        "event_id": f"e{number}", "run": "run-1", "line": f"line-{number % LINES}", "kind": "anomaly",
        "opened": _at(number), "updated": _at(number), "ended": _at(number), "end_reason": "cleared",
        "inspection_id": number + 1,
    }  # fmt: skip


def _message(number: int, half: int) -> dict[str, Any]:
    return {
        "agent": DEFAULT_AGENT,
        "message_id": f"m{number}-{half}", "line": f"line-{number % LINES}", "message_seq": 2 * number + half,
        "topic": "t/event", "body": {"event_id": f"e{number}", "filler": "x" * 600}, "run": "run-1",
        "committed": _at(number), "attempts": 1, "sent": _at(number),
    }  # fmt: skip


def _at(number: int) -> datetime:
    return START + timedelta(seconds=number / 10)


def measure(name: str, ask: Callable[[], object]) -> None:
    """The first call, which finds nothing in the cache of the connection, and the middle and slowest of the others."""
    times = []
    for _ in range(TURNS + 1):
        began = time.perf_counter()
        ask()
        times.append(1000 * (time.perf_counter() - began))
    print(f"{name:34} first {times[0]:7.1f}  middle {median(times[1:]):7.1f}  slowest {max(times[1:]):7.1f} ms")  # noqa: T201


def main(folder: Path, count: int) -> None:
    url = f"sqlite:///{folder}/agent.db"
    fill(url, count)
    print(f"{count} inspections, {(folder / 'agent.db').stat().st_size >> 20} MB")  # noqa: T201
    database = open_reader(url)
    reader = Reader(database)
    assert len(reader.recent_events(limit=50)) == 50
    measure("events, all lines", lambda: reader.recent_events(limit=50))
    measure("events, one line", lambda: reader.recent_events("line-3", 50))
    measure("events, a line without any", lambda: reader.recent_events("none", 50))
    measure("page: recent events", lambda: recent_events(Views(database)))
    measure("page and health: waiting messages", reader.waiting)
    measure("sender: pending", lambda: Outbox(database).pending(24))
    measure("status: run, events, messages", reader.status)
    measure("status: totals of one line", lambda: reader.totals("line-3"))
    measure("status: totals of 8 lines", lambda: [reader.totals(f"line-{n}") for n in range(LINES)])
    database.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
