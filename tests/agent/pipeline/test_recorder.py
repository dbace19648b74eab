"""One inspection, one transaction, then observers and the file's move; a store that refuses loses nothing."""

import threading
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
from sqlalchemy import insert

from agent.config.line import LineSection
from agent.errors import StoreError
from agent.mqtt.payloads import Topics
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.judged import Judged
from agent.pipeline.lines import Line
from agent.pipeline.messages import Messages
from agent.pipeline.moves import move_again
from agent.pipeline.recorder import Recorder
from agent.records import FileState, Frame, LineMode
from agent.sources.sinks import Tally
from agent.store.access import open_writer
from agent.store.ledger import Ledger
from agent.store.outbox import Outbox
from agent.store.reader import Reader
from agent.store.schema import claims
from agent.store.writer import Writer
from fbclip.decision import Verdict
from fbclip.files import file_sha256
from tests.factories.agent import KeepingObserver, a_judged, an_inspection, stored_inspections


class Desk:
    """A recorder with a real store and a hot folder."""

    def __init__(self, folder, mode=LineMode.LIVE):
        self.hot = folder / "in"
        self.hot.mkdir()
        section = LineSection(name="inbox", source={"type": "folder", "path": self.hot}, profile="p", mode=mode)
        self.line = Line(section, "adapter")
        self.database = open_writer(f"sqlite:///{folder}/agent.db")
        self.writer, self.ledger = Writer(self.database), Ledger(self.database)
        self.messages = Messages(Topics("fbclip", "a"), {"inbox": mode})
        self.writer.start_run("run-1", self.messages.of_end)
        self.tally, self.observer = Tally(), KeepingObserver()
        self.recorder = Recorder(
            lines={"inbox": self.line},
            tallies={"inbox": self.tally},
            writer=self.writer,
            evidence=EvidenceWriter(folder, "run-1"),
            messages=self.messages,
            observers=[self.observer],
            ok_every=2,
        )
        self.folder = folder

    def judged(self, seq, verdict, mode=LineMode.LIVE) -> Judged:
        path = self.hot / f"{seq}.png"
        image = np.full((8, 8, 3), seq, np.uint8)
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
        stat = path.stat()
        sha = file_sha256(path)
        file_id = self.ledger.add_claimed("inbox", str(path), stat.st_size, stat.st_mtime_ns)
        self.ledger.opened(file_id, sha)
        ts = datetime(2026, 1, 2, tzinfo=UTC)
        self.tally.grabbed()
        inspection = an_inspection(
            verdict, seq, line="inbox", mode=mode, path=str(path), file_id=file_id, sha256=sha, discrete=True
        )
        return a_judged(inspection, Frame("inbox", seq, ts, 0.0, image, path=str(path)))


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.database.close()


def test_verdicts_move_files_and_write_messages(desk):
    for seq, verdict in enumerate((Verdict.OK, Verdict.ANOMALY, Verdict.REJECTED, Verdict.OK), start=1):
        assert desk.recorder.record(desk.judged(seq, verdict), threading.Event())
    assert sorted(p.name for p in (desk.folder / "in.done").iterdir()) == ["1.png", "2.png", "4.png"]
    assert sorted(p.name for p in (desk.folder / "in.failed").iterdir()) == ["3.png", "3.png.reason.json"]
    rows = Outbox(desk.database).pending(100)
    assert [r.topic.rpartition("/")[2] for r in rows] == [
        "result", "event", "event", "result", "event", "event", "result", "result",
    ]  # fmt: skip
    assert [r.body["message_seq"] for r in rows] == list(range(1, 9))
    counters = desk.tally.snapshot()
    assert (counters.inspected, counters.rejected, counters.in_flight) == (3, 1, 0)
    stored = stored_inspections(desk.database)
    # Observers hear of what was stored, images and all.
    heard = [judged.inspection for judged in desk.observer.heard]
    assert [(i.frame_seq, i.image_ref) for i in heard] == [(row.frame_seq, row.image_ref) for row in stored]
    kept = {row.frame_seq: row.image_ref is not None for row in stored}
    # The first of every two ok images, and every image that is not ok.
    assert kept == {1: True, 2: True, 3: True, 4: False}
    assert all((desk.folder / row.image_ref).is_file() for row in stored if row.image_ref)


@pytest.mark.parametrize("mode", [LineMode.SHADOW, LineMode.LEARNING])
def test_only_live_lines_publish(tmp_path, mode):
    desk = Desk(tmp_path, mode)
    desk.recorder.record(desk.judged(1, Verdict.ANOMALY, mode), threading.Event())
    assert Outbox(desk.database).pending(10) == ()
    events = Reader(desk.database).recent_events("inbox")
    assert len(events) == (1 if mode is LineMode.SHADOW else 0)
    desk.database.close()


def test_a_store_that_refuses_is_tried_again_and_counts_nothing_twice(desk, monkeypatch):
    record, failures = desk.writer.record, [StoreError("disk full"), StoreError("disk full")]

    def flaky(*arguments):
        if failures:
            raise failures.pop()
        return record(*arguments)

    monkeypatch.setattr(desk.writer, "record", flaky)
    monkeypatch.setattr("agent.pipeline.recorder.STORE_RETRY_S", 0.0)
    assert desk.recorder.record(desk.judged(1, Verdict.ANOMALY), threading.Event())
    assert desk.recorder.problem is None
    assert len(Outbox(desk.database).pending(10)) == 3


def test_stopping_while_the_store_refuses_leaves_the_file_to_the_next_start(desk, monkeypatch):
    def refuse(*_):
        raise StoreError("disk full")

    monkeypatch.setattr(desk.writer, "record", refuse)
    stop = threading.Event()
    stop.set()
    assert not desk.recorder.record(desk.judged(1, Verdict.ANOMALY), stop)
    assert desk.observer.heard == []
    assert desk.tally.snapshot().dropped == {"store_error": 1}
    assert (desk.hot / "1.png").is_file()
    assert desk.ledger.recover() == ()
    stat = (desk.hot / "1.png").stat()
    left = desk.ledger.find("inbox", str(desk.hot / "1.png"), stat.st_size, stat.st_mtime_ns)
    assert left.state is FileState.PENDING


def test_a_file_that_another_agent_has_taken_over_is_told_of_by_nobody_here(desk):
    late = desk.judged(1, Verdict.ANOMALY)
    now = datetime.now(UTC)
    held = {"file_id": late.inspection.file_id, "agent": "agent", "run": "another", "claimed_at": now, "expires": now}
    with desk.database.transaction() as connection:
        connection.execute(insert(claims).values(line="inbox", file="f", size=1, mtime_s=1, **held))
    assert not desk.recorder.record(late, threading.Event())
    assert desk.recorder.problem is None and desk.observer.heard == []
    assert desk.tally.snapshot().dropped == {"taken_over": 1}
    assert (Outbox(desk.database).count(), (desk.hot / "1.png").is_file()) == (0, True)
    # The event that it would have opened is opened by the next one.
    assert desk.recorder.record(desk.judged(2, Verdict.ANOMALY), threading.Event())
    types = [message.body.get("type") for message in Outbox(desk.database).pending(9)]
    assert types.count("new") == 1 and len(stored_inspections(desk.database)) == 1


def test_a_move_that_failed_is_done_again(desk, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("agent.pipeline.moves.dispose", full)
        desk.recorder.record(desk.judged(1, Verdict.REJECTED), threading.Event())
    assert (desk.hot / "1.png").is_file()
    move_again(desk.writer, desk.ledger.unmoved(), {"inbox": desk.line})
    assert (desk.folder / "in.failed" / "1.png.reason.json").is_file()
    assert desk.ledger.unmoved() == ()


def open_an_event(desk):
    desk.tally.grabbed()
    inspection = an_inspection(Verdict.ANOMALY, 1, line="inbox")
    assert desk.recorder.record(a_judged(inspection), threading.Event())
    (event,) = Reader(desk.database).recent_events()
    assert event.ended is None


def test_the_events_of_a_line_that_is_switched_off_end_aloud(desk):
    open_an_event(desk)
    desk.recorder.line_ended("elsewhere")
    desk.recorder.line_ended("inbox")
    desk.recorder.end_events_of_lines(datetime(2026, 1, 3, tzinfo=UTC))
    (event,) = Reader(desk.database).recent_events()
    assert event.end_reason == "line_off"
    assert [message.body["type"] for message in Outbox(desk.database).pending(9)] == ["new", "end"]
    # Switched on again, it is judged like any other.
    desk.tally.grabbed()
    assert desk.recorder.record(a_judged(an_inspection(Verdict.ANOMALY, 2, line="inbox")), threading.Event())
    assert len(Reader(desk.database).recent_events()) == 2


def test_events_that_the_store_does_not_end_now_are_ended_later(desk, monkeypatch):
    open_an_event(desk)
    desk.recorder.line_ended("inbox")
    with monkeypatch.context() as broken:

        def refuse(*_):
            raise StoreError("locked")

        broken.setattr(desk.writer, "end_events", refuse)
        desk.recorder.end_events_of_lines(datetime(2026, 1, 3, tzinfo=UTC))
    assert Reader(desk.database).recent_events()[0].ended is None
    desk.recorder.end_events_of_lines(datetime(2026, 1, 3, tzinfo=UTC))
    assert Reader(desk.database).recent_events()[0].end_reason == "line_off"
