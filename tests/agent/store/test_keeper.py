"""A store that is damaged, deleted or replaced while it is in use: every alert goes out, and it is said aloud."""

import json
import shutil
import sqlite3
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import OperationalError

from agent.config.services import RetentionSection
from agent.errors import StoreError
from agent.records import StepType
from agent.store.access import open_reader, open_writer
from agent.store.keeper import StoreKeeper
from agent.store.outbox import Outbox
from agent.store.reader import Reader
from agent.store.retention import Retention
from agent.store.unsent_copy import copy_of
from fbclip.decision import Verdict
from tests.factories.agent import FakeClock, a_draft, a_step, an_inspection, row_count


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def keeper(database, writer, tmp_path, clock):
    retention = Retention(database, tmp_path, RetentionSection(min_free_mb=0), "run-1", clock=clock.monotonic)
    return StoreKeeper(database, writer, retention, clock.monotonic, lambda: datetime(2026, 1, 2, tzinfo=UTC))


def alerts(writer, count, first=1):
    for seq in range(first, first + count):
        writer.record(an_inspection(Verdict.ANOMALY, seq), (a_step(StepType.NEW, f"e{seq}"),), [a_draft()])


def waiting(database):
    return [(m.message_id, m.body["stream_id"], m.body["message_seq"]) for m in Outbox(database).pending(10_000)]


def test_a_database_deleted_while_it_is_open_is_written_out_again(database, writer, keeper, url, tmp_path, caplog):
    alerts(writer, 5)
    page = open_reader(url)
    before = waiting(database)
    for file in tmp_path.glob("agent.db*"):
        file.unlink()
    alerts(writer, 1, first=6)
    assert not (tmp_path / "agent.db").exists()
    keeper.step()
    assert waiting(database)[:5] == before and row_count(database, "inspections") == 6
    # The page's readers and a new process see the new file, and the old run goes on in it.
    alerts(writer, 1, first=7)
    assert Reader(page).totals("belt")[Verdict.ANOMALY] == 7
    assert Reader(open_reader(url)).status().run == "run-1"
    assert "deleted while the agent ran: all of it is written anew; 6 unsent messages are kept" in caplog.text
    assert "written anew" in keeper.problems()[0] and "written anew" in Reader(page).status().incident.text
    assert (tmp_path / "agent.db").stat().st_mode & 0o777 == 0o600
    page.close()


def test_the_whole_folder_deleted_while_it_is_open(url, tmp_path, clock):
    folder = tmp_path / "var"
    database = open_writer(f"sqlite:///{folder}/agent.db")
    from agent.store.writer import Writer

    writer = Writer(database)
    writer.start_run("run-1", lambda step: None)
    alerts(writer, 3)
    keeper = StoreKeeper(database, writer, Retention(database, folder, RetentionSection(), "run-1"), clock.monotonic)
    shutil.rmtree(folder)
    keeper.step()
    alerts(writer, 1, first=4)
    assert [seq for *_, seq in waiting(database)] == [1, 2, 3, 4]
    database.close()


def test_without_room_to_write_it_out_the_copy_of_the_unsent_remains(database, writer, keeper, tmp_path, monkeypatch):
    alerts(writer, 4)
    before = waiting(database)
    monkeypatch.setattr("agent.store.engine.rescue", lambda *_: False)
    for file in tmp_path.glob("agent.db*"):
        file.unlink()
    keeper.step()
    assert waiting(database) == before and row_count(database, "inspections") == 0
    assert "a new one is started; 4 unsent messages are kept" in keeper.problems()[0]
    # A verdict on a file that only the lost database knew is kept, and numbers go on without a gap.
    writer.record(an_inspection(Verdict.ANOMALY, 9, file_id=77), (), [a_draft()])
    assert [seq for *_, seq in waiting(database)] == [1, 2, 3, 4, 5]
    writer.end_run(clean=True)
    assert row_count(database, "runs") == 1


def test_a_database_replaced_by_its_backup_keeps_what_came_since(database, writer, keeper, tmp_path, clock):
    alerts(writer, 2)
    with sqlite3.connect(tmp_path / "agent.db") as source, sqlite3.connect(tmp_path / "backup") as target:
        source.backup(target)
    Outbox(database).mark_sent([1])
    alerts(writer, 2, first=3)
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"agent.db{suffix}").unlink()
    (tmp_path / "backup").replace(tmp_path / "agent.db")
    keeper.step()
    # The first one goes out twice under one id: the backup does not know that it was sent.
    assert [seq for *_, seq in waiting(database)] == [1, 2, 3, 4]
    assert "replaced by another file" in keeper.problems()[0]
    clock.time += 121
    assert keeper.problems() == ()


def test_a_database_of_another_stream_sends_the_alerts_of_the_old_one_under_their_own_names(url, tmp_path):
    database = open_writer(url)
    from agent.store.writer import Writer

    Writer(database).start_run("run-1", lambda step: None)
    alerts(Writer(database), 2)
    before = waiting(database)
    database.close()
    (tmp_path / "agent.db").unlink()
    other = open_writer(f"sqlite:///{tmp_path}/other.db")
    alerts(Writer(other), 1)
    new = waiting(other)
    other.close()
    (tmp_path / "other.db").rename(tmp_path / "agent.db")
    again = open_writer(url)
    assert sorted(waiting(again)) == sorted(before + new)
    again.close()


@pytest.mark.parametrize("page", [1, "leaf"])
def test_pages_overwritten_while_the_agent_runs(database, writer, keeper, tmp_path, page, caplog):
    alerts(writer, 180)
    before = waiting(database)
    file = tmp_path / "agent.db"
    with sqlite3.connect(file) as raw:
        raw.execute("pragma wal_checkpoint(truncate)")
    with file.open("r+b") as stream:
        if page == 1:
            stream.seek(0)
            stream.write(b"\x5a" * 4096)
        else:
            size = file.stat().st_size
            for number in range(5, size // 4096, 2):
                stream.seek(number * 4096)
                stream.write(b"\x5a" * 4096)
    # The open connection has pages in memory; a look from outside is what a restart would see.
    database._engine.dispose()
    with pytest.raises(StoreError):
        for table in ("outbox", "inspections", "events"):
            with database.transaction() as connection:
                connection.exec_driver_sql(f"select * from {table}").fetchall()
            with database.transaction() as connection:
                connection.exec_driver_sql(f"select max(length(hex(line))), count(*) from {table} not indexed")
    keeper.step()
    assert waiting(database) == before
    assert "180 unsent messages are kept" in caplog.text and "set aside as agent.db.corrupt-" in keeper.problems()[0]
    alerts(writer, 1, first=181)
    assert waiting(database)[-1][2] == 181


def test_a_stored_body_that_is_no_json_any_more_comes_from_the_copy(database, writer, keeper, tmp_path):
    alerts(writer, 3)
    before = waiting(database)
    database.close()
    raw = sqlite3.connect(tmp_path / "agent.db")
    raw.execute("update outbox set body = '{\"sch' where id = 2")
    raw.commit()
    raw.close()
    with pytest.raises(StoreError, match="damaged"):
        Outbox(database).pending(10)
    keeper.step()
    assert [m.body["message_seq"] for m in Outbox(database).pending(10)] == [1, 2, 3]
    assert waiting(database) == before


def test_a_copy_that_is_lost_or_damaged_is_made_again(database, writer, keeper, url, tmp_path):
    alerts(writer, 2)
    copy = copy_of(tmp_path / "agent.db")
    for suffix in ("", "-wal", "-shm"):
        copy.with_name(copy.name + suffix).unlink()
    keeper.step()
    alerts(writer, 1, first=3)
    database.close()
    copy.write_bytes(b"garbage" * 1000)
    again = open_writer(url)
    assert "the copy of the unsent messages was damaged" in again.incident.text
    again.close()
    raw = sqlite3.connect(copy)
    assert [json.loads(row[0])["line"] for row in raw.execute("select body from unsent_rows")] == ["belt"] * 3
    raw.close()


def test_the_copy_holds_what_waits_and_nothing_else(database, writer, tmp_path):
    alerts(writer, 3)
    Outbox(database).mark_sent([1, 3])
    raw = sqlite3.connect(copy_of(tmp_path / "agent.db"))
    assert raw.execute("select message_seq from unsent_rows").fetchall() == [(2,)]
    assert raw.execute("select * from unsent_sequences").fetchall() == [("belt", 3)]
    with database.transaction() as connection:
        connection.exec_driver_sql("delete from outbox")
    assert raw.execute("select count(*) from unsent_rows").fetchone() == (0,)
    raw.close()


def test_a_copy_that_a_full_disk_left_behind_catches_up(database, writer, keeper, tmp_path):
    """A transaction spans two files: the first may be committed when there is no room for the second."""
    alerts(writer, 3)
    copy = sqlite3.connect(copy_of(tmp_path / "agent.db"))
    with copy:
        copy.execute("DELETE FROM unsent_rows")
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorname = "SQLITE_FULL"
    with pytest.raises(StoreError), database.transaction():
        raise OperationalError("COMMIT", {}, error)
    keeper.step()
    kept = [row[0] for row in copy.execute("SELECT message_id FROM unsent_rows ORDER BY id")]
    assert kept == [message_id for message_id, _, _ in waiting(database)] and len(kept) == 3
    copy.close()
