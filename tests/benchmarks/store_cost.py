"""What the store costs: an inspection with its message, with and without the copy of the unsent; a turn of retention.

Run by hand: `python -m tests.benchmarks.store_cost [ROWS]`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

from agent.config.services import RetentionSection
from agent.records import StepType
from agent.store.access import open_writer
from agent.store.engine import Database
from agent.store.outbox import Outbox
from agent.store.retention import Retention
from agent.store.writer import Writer, _insert
from fbclip.decision import Verdict
from tests.factories.agent import a_draft, a_step, an_inspection

ALERTS = 400


def alerts(folder: Path, name: str) -> None:
    database = open_writer(f"sqlite:///{folder}/{name}.db")
    writer, outbox = Writer(database), Outbox(database)
    writer.start_run("run-1", lambda step: None)
    start = time.perf_counter()
    for seq in range(ALERTS):
        writer.record(an_inspection(Verdict.ANOMALY, seq), (a_step(StepType.NEW, f"e{seq}"),), [a_draft()])
    written = time.perf_counter()
    while waiting := outbox.pending(20):
        outbox.mark_sent([message.id for message in waiting])
    print(  # noqa: T201
        f"{name}: {1000 * (written - start) / ALERTS:.1f} ms an inspection with a message,"
        f" {ALERTS / (time.perf_counter() - written):.0f} messages marked a second"
    )
    database.close()


def pruning(folder: Path, rows: int) -> None:
    database: Database = open_writer(f"sqlite:///{folder}/many.db")
    for first in range(0, rows, 5000):
        with database.transaction() as connection:
            for seq in range(first, first + 5000):
                _insert(connection, database.agent, an_inspection(Verdict.OK, seq), None)
    retention = Retention(database, folder, RetentionSection(rows=1000, min_free_mb=0), "run-1")
    gone = [retention.turn(datetime.now(UTC)).inspections for _ in range(5)]
    print(f"rows removed by five turns, of {rows}: {gone}")  # noqa: T201
    database.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        alerts(Path(name), "with the copy")
        with patch("agent.store.access.arm"), patch("agent.store.engine.refill"):
            alerts(Path(name), "without it")
        pruning(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 300_000)
