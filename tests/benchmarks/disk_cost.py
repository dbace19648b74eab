"""What a day takes of a disk: bytes of a stored inspection with what it says, and of a kept picture of the samples.

Run by hand: `python -m tests.benchmarks.disk_cost [ROWS]`. A real SQLite file, with every message of it marked as sent.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from agent.mqtt.payloads import Topics
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.messages import Messages
from agent.records import Frame, LineMode, StepType
from agent.store.access import open_writer
from agent.store.engine import Database
from agent.store.ledger import Ledger
from agent.store.outbox import Outbox
from agent.store.writer import Writer
from fbclip.decision import Region, Verdict, reject
from tests.factories.agent import a_step, an_inspection

TILE = Path("deploy/samples/inbox/tile_good_01.png")
MESSAGES = Messages(Topics("fbclip", "press-1"), {"belt": LineMode.LIVE})


def camera_frame(database: Database, writer: Writer, seq: int) -> None:
    """Ok, and nobody hears of it."""
    writer.record(an_inspection(Verdict.OK, seq), (), ())


def file(database: Database, writer: Writer, seq: int) -> None:
    """Ok, with a row of the ledger and a result."""
    ledger = Ledger(database)
    file_id = ledger.add_claimed("belt", f"/srv/inspection/inbox/{seq:08d}.png", 100_000, seq)
    ledger.opened(file_id, "ab" * 32)
    one = an_inspection(Verdict.OK, seq, file_id=file_id, path=f"/srv/inspection/inbox/{seq:08d}.png", discrete=True)
    writer.record(one, (), MESSAGES.of(one, (), True))
    writer.finish_disposition(file_id)


def alert(database: Database, writer: Writer, seq: int) -> None:
    """An event that begins and ends, with one region."""
    one = an_inspection(Verdict.ANOMALY, seq)
    regions = (Region((10, 20, 30, 40), 900, 3.5),)
    one = replace(one, decision=replace(one.decision, regions=regions), image_ref="pictures/belt/2026-01-02/x.jpg")
    steps = [a_step(StepType.NEW, f"e{seq}"), a_step(StepType.END, f"e{seq}", "ok")]
    writer.record(one, steps, MESSAGES.of(one, steps, False))


def bytes_a_row(folder: Path, put: Callable[[Database, Writer, int], None], rows: int) -> float:
    """Of the database file, once what waits is marked as sent and the log is written back."""
    path = folder / f"{put.__name__}.db"
    database = open_writer(f"sqlite:///{path}")
    writer, outbox = Writer(database), Outbox(database)
    writer.start_run("0f7c1c0e-5d4b-4a52-9d53-6ad1a3c3d1f2", lambda step: None)
    sizes = []
    for first in (1, rows + 1):
        for seq in range(first, first + rows):
            put(database, writer, seq)
        while waiting := outbox.pending(500):
            outbox.mark_sent([message.id for message in waiting])
        with database.transaction() as connection:
            used = [
                int(connection.exec_driver_sql(f"PRAGMA main.{name}").scalar_one())
                for name in ("page_count", "page_size")
            ]
        sizes.append(used[0] * used[1])
    database.close()
    # Between two states, so that the empty tables do not count.
    return (sizes[1] - sizes[0]) / rows


def pictures(folder: Path) -> str:
    image = cv2.cvtColor(cv2.imread(str(TILE)), cv2.COLOR_BGR2RGB)
    frame = Frame("belt", 1, datetime.now(UTC), 0.0, np.ascontiguousarray(image))
    refs = EvidenceWriter(folder, "run").save(frame, None, None, None, reject("black"))
    size = (folder / str(refs.image_ref)).stat().st_size
    height, width = image.shape[:2]
    return f"a picture of {width}x{height}: {size / 1000:.0f} kB, {size / (width * height):.2f} bytes a pixel"


def main(folder: Path, rows: int) -> None:
    for put in (camera_frame, file, alert):
        print(f"{put.__name__.replace('_', ' ')}: {bytes_a_row(folder, put, rows):.0f} bytes in the database")  # noqa: T201
    print(pictures(folder))  # noqa: T201


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
