"""The store on real SQLite files."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from agent.config.sections import RetentionSection
from agent.errors import StoreError
from agent.records import Disposition, EventKind, EventStep, FileState, StepType
from agent.store.engine import Database, filesystem_of, open_reader, open_writer
from agent.store.ledger import Ledger
from agent.store.lock import DataLock, is_locked
from agent.store.outbox import Draft, Outbox
from agent.store.reader import Reader
from agent.store.results import Writer
from agent.store.retention import prune
from fbclip.decision import Verdict
from tests.agent.conftest import an_inspection

TS = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def a_draft(line: str = "belt") -> Draft:
    return Draft(line, f"t/{line}/event", lambda i: {"message_id": i.message_id, "message_seq": i.message_seq})


def a_step(kind: StepType, event_id: str = "e1", reason: str | None = None) -> EventStep:
    return EventStep(event_id, EventKind.ANOMALY, kind, "belt", TS, reason)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/agent.db"


@pytest.fixture
def database(url):
    opened = open_writer(url)
    yield opened
    opened.close()


@pytest.fixture
def writer(database: Database) -> Writer:
    made = Writer(database)
    made.start_run("run-1", "demo", lambda step: a_draft(step.line))
    return made


def rows(database: Database, table: str) -> int:
    with database.transaction() as connection:
        return connection.execute(text(f"select count(*) from {table}")).scalar_one()


def test_pragmas(database):
    with database.transaction() as connection:
        values = {
            name: connection.execute(text(f"pragma {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "auto_vacuum")
        }
    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
        "auto_vacuum": 2,
    }


def test_one_transaction_writes_all_and_numbers_messages_per_line(database, writer):
    steps = (a_step(StepType.NEW), a_step(StepType.END, reason="unit"))
    writer.record(an_inspection(Verdict.ANOMALY), steps, [a_draft(), a_draft("inbox"), a_draft()])
    messages = Outbox(database).pending(10)
    assert [(m.topic, m.body["message_seq"]) for m in messages] == [
        ("t/belt/event", 1),
        ("t/inbox/event", 1),
        ("t/belt/event", 2),
    ]
    assert [m.message_id for m in messages] == [m.body["message_id"] for m in messages]
    event = Reader(database).recent_events()[0]
    assert (event.ended, event.end_reason, event.inspection_id) == (TS, "unit", 1)
    row = Reader(database).recent_inspections("belt")[0]
    assert (row.ts, row.verdict, row.z) == (an_inspection().ts, Verdict.ANOMALY, 1.5)


def test_what_fails_leaves_nothing_and_no_gap(database, writer):
    def broken(_identity):
        raise ValueError("cannot be built")

    with pytest.raises(ValueError, match="cannot be built"):
        writer.record(an_inspection(), (a_step(StepType.NEW),), [a_draft(), Draft("belt", "t", broken)])
    assert [rows(database, t) for t in ("inspections", "events", "outbox")] == [0, 0, 0]
    writer.record(an_inspection(), (), [a_draft()])
    assert Outbox(database).pending(1)[0].body["message_seq"] == 1
    with pytest.raises(StoreError, match="UNIQUE") as caught:
        writer.record(an_inspection(), (), [a_draft()])
    assert "\n" not in str(caught.value)


KILLED = """
import os, signal, sys
from agent.store.engine import open_writer
from agent.store.outbox import Draft
from agent.store.results import Writer
from tests.agent.conftest import an_inspection
from tests.agent.test_store import a_draft, a_step
from agent.records import StepType
writer = Writer(open_writer(sys.argv[1]))
writer.start_run("run-1", "demo", lambda step: None)
writer.record(an_inspection(), (a_step(StepType.NEW),), [a_draft()])
die = Draft("belt", "t", lambda i: os.kill(os.getpid(), signal.SIGKILL))
writer.record(an_inspection(seq=2), (a_step(StepType.NEW, "e2"),), [a_draft(), die])
"""


def test_a_killed_process_leaves_nothing_half_written(url):
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", KILLED, url], cwd=root, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    database = open_writer(url)
    assert [rows(database, t) for t in ("inspections", "events", "outbox")] == [1, 1, 1]
    again = Writer(database)
    assert again.start_run("run-2", "demo", lambda step: a_draft(step.line)) == 1
    assert Reader(database).recent_events()[0].end_reason == "restart"
    assert [m.body["message_seq"] for m in Outbox(database).pending(9)] == [1, 2]
    again.end_run(clean=True)
    database.close()


def test_a_corrupt_file_is_moved_aside_loudly(url, tmp_path, caplog):
    database = open_writer(url)
    Writer(database).start_run("run-1", "demo", lambda step: None)
    database.close()
    data = bytearray((tmp_path / "agent.db").read_bytes())
    data[4096:] = b"\x5a" * (len(data) - 4096)
    (tmp_path / "agent.db").write_bytes(data)
    fresh = open_writer(url)
    assert rows(fresh, "runs") == 0
    assert len(list(tmp_path.glob("agent.db.corrupt-*"))) == 1
    assert "corrupt" in caplog.text
    fresh.close()


def test_garbage_is_moved_aside(url, tmp_path):
    (tmp_path / "agent.db").write_bytes(b"not a database at all" * 500)
    open_writer(url).close()
    assert len(list(tmp_path.glob("agent.db.corrupt-*"))) == 1


@pytest.mark.parametrize("opening", [open_writer, open_reader])
def test_a_newer_database_is_refused_and_left_alone(url, tmp_path, opening):
    open_writer(url).close()
    with sqlite3.connect(tmp_path / "agent.db") as raw:
        raw.execute("update meta set value = '99' where key = 'schema_version'")
    raw.close()
    with pytest.raises(StoreError, match="schema 99 is newer"):
        opening(url)
    assert not list(tmp_path.glob("*.corrupt-*"))


def test_the_reader_reads_while_writing_and_cannot_write(url, database, writer):
    reader = open_reader(url)
    with database.transaction() as connection:
        connection.execute(text("delete from meta where key = 'nothing'"))
        assert Reader(reader).totals("belt")[Verdict.OK] == 0
    writer.record(an_inspection(), (), [a_draft()])
    assert Reader(reader).totals("belt")[Verdict.OK] == 1
    status = Reader(reader).status()
    assert (status.run, status.unsent, status.stream_id) == ("run-1", 1, writer.stream_id)
    with pytest.raises(StoreError, match="readonly"), reader.transaction() as connection:
        connection.execute(text("delete from meta"))
    reader.close()


def test_a_reader_after_a_clean_end_and_without_a_database(url, tmp_path):
    with pytest.raises(StoreError, match="no such database"):
        open_reader(url)
    open_writer(url).close()
    open_reader(url).close()


def test_urls_without_secrets_in_errors():
    with pytest.raises(StoreError) as caught:
        open_writer("postgresql+nosuch://user:topsecret@host/name")
    assert "topsecret" not in str(caught.value)
    with pytest.raises(StoreError) as caught:
        open_reader("://user:topsecret")
    assert "topsecret" not in str(caught.value)


def test_file_systems():
    mounts = "/dev/a / ext4 rw 0 0\nhost:/x /mnt/share nfs4 rw 0 0\nt /mnt/share/local tmpfs rw 0 0\n"
    assert filesystem_of(Path("/mnt/share/x.db"), mounts) == "nfs4"
    assert filesystem_of(Path("/mnt/share/local/x.db"), mounts) == "tmpfs"
    assert filesystem_of(Path("/mnt/shared/x.db"), mounts) == "ext4"


def test_one_agent_a_data_directory(tmp_path):
    assert not is_locked(tmp_path)
    with DataLock(tmp_path), pytest.raises(StoreError, match="another agent"):
        assert is_locked(tmp_path)
        DataLock(tmp_path)
    assert not is_locked(tmp_path)
    DataLock(tmp_path).release()


def test_the_life_of_a_file(database, writer):
    ledger = Ledger(database)
    first = ledger.add_pending("inbox", "a.png", 10, 1, "aa")
    assert ledger.find("inbox", "a.png", 10, 1).id == first
    second = ledger.add_pending("inbox", "a.png", 10, 2, "bb")
    assert second != first and ledger.find("inbox", "a.png", 11, 2) is None
    assert ledger.claim(first) and not ledger.claim(first) and ledger.claim(second)
    writer.record(an_inspection(file_id=first), (), ())
    assert [row.id for row in ledger.recover()] == [first]
    assert ledger.find("inbox", "a.png", 10, 2).state is FileState.PENDING
    writer.finish_disposition(first)
    assert ledger.recover() == ledger.unmoved() == ()
    assert ledger.find("inbox", "a.png", 10, 1).disposition is Disposition.FINISHED
    ledger.claim(second)
    writer.record(an_inspection(Verdict.REJECTED, 2, file_id=second), (), ())
    failed = ledger.unmoved()[0]
    assert (failed.state, failed.reason, failed.disposition) == (FileState.FAILED, "black", Disposition.PENDING)


def test_pruning_takes_ok_images_first_and_never_unsent_alerts(database, writer, tmp_path):
    for seq, verdict in enumerate((Verdict.ANOMALY, Verdict.OK, Verdict.ANOMALY, Verdict.OK)):
        (tmp_path / f"{seq}.jpg").write_bytes(bytes(1 << 20))
        writer.record(an_inspection(verdict, seq, image_ref=f"{seq}.jpg"), (), [a_draft()])
    (tmp_path / "1.jpg").unlink()
    plenty = lambda _path: 1 << 40  # noqa: E731
    keep = RetentionSection(days=36500, pictures_mb=1, min_free_mb=0)
    prune(database, tmp_path, keep, TS, plenty)
    assert [p.name for p in sorted(tmp_path.glob("*.jpg"))] == ["2.jpg"]
    Writer(database).mark_sent([1])
    gone = prune(database, tmp_path, replace_days(keep), datetime.now(UTC) + timedelta(days=2), plenty)
    assert (gone.inspections, gone.messages, gone.images) == (4, 1, 1)
    assert [m.id for m in Outbox(database).pending(9)] == [2, 3, 4]


def replace_days(section: RetentionSection) -> RetentionSection:
    return section.model_copy(update={"days": 1})
