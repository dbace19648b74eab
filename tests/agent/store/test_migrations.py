"""A database of any earlier version is upgraded with its rows, one of a newer version is refused and left alone."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event

from agent.errors import StoreError
from agent.store.access import open_reader, open_writer
from agent.store.ledger import Ledger
from agent.store.outbox import Outbox
from agent.store.reader import Reader
from agent.store.schema import SCHEMA_VERSION, metadata
from agent.store.tables import MIGRATIONS
from fbclip.decision import Verdict
from tests.factories.agent import row_count

# As 0.1.0 made it, tables and all; its last event waits for the broker here.
FIRST = (Path(__file__).parents[2] / "compatibility/kept/agent.sql").read_text(encoding="utf-8")
WAITING = "af821fa0-f2d6-4187-950a-b372082f661f"


@pytest.fixture
def first(tmp_path):
    raw = sqlite3.connect(tmp_path / "agent.db")
    raw.executescript(FIRST)
    raw.execute("update outbox set sent = null where message_id = ?", (WAITING,))
    raw.commit()
    raw.close()
    return tmp_path / "agent.db"


def test_a_database_of_the_first_version_keeps_its_rows(url, first):
    before = open_reader(url)
    assert Reader(before).totals("tiles")[Verdict.ANOMALY] == 1
    assert (Reader(before).status().unsent, Reader(before).status().parked.count) == (1, 0)
    before.close()
    database = open_writer(url)
    assert Reader(database).totals("tiles")[Verdict.ANOMALY] == 1
    assert [event.inspection_id for event in Reader(database).recent_events()] == [4, 3, 2]
    (message,) = Outbox(database).pending(9)
    assert (message.message_id, message.body["message_seq"]) == (WAITING, 7)
    assert message.body["stream_id"] == "e4a356e2-7be0-452d-a144-3731e7c29945"
    assert row_count(database, "files") == 4
    database.close()
    open_reader(url).close()
    again = open_writer(url)
    assert row_count(again, "inspections") == 4
    again.close()


def test_the_steps_lead_to_the_tables_of_this_version(database):
    with database.transaction() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.exec_driver_sql("select version_num from alembic_version").scalar() == str(SCHEMA_VERSION)
    assert len(list((MIGRATIONS / "versions").glob("v*.py"))) == SCHEMA_VERSION


def test_bytes_are_found_by_an_index_however_many_files_have_their_size(database):
    asked = []

    def hear(_connection, _cursor, statement, parameters, *_):
        asked.append((statement, parameters))

    event.listen(database._engine, "before_cursor_execute", hear)
    assert not Ledger(database).has_content("belt", "a" * 64, 1)
    event.remove(database._engine, "before_cursor_execute", hear)
    ((statement, parameters),) = [one for one in asked if "sha256" in one[0]]
    with database.transaction() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    assert "ix_files_content (agent=? AND line=? AND sha256=?)" in str(plan)


def test_an_upgraded_database_and_the_first_one_have_the_same_tables(url, first, tmp_path):
    open_writer(url).close()
    open_writer(f"sqlite:///{tmp_path}/new.db").close()
    shapes = []
    for name in ("agent.db", "new.db"):
        raw = sqlite3.connect(tmp_path / name)
        tables = [row[0] for row in raw.execute("select name from sqlite_master where type = 'table' order by name")]
        shapes.append({table: raw.execute(f"pragma table_info({table})").fetchall() for table in tables})
        raw.close()
    assert shapes[0] == shapes[1]


def test_an_upgrade_that_fails_midway_leaves_the_old_version(url, first, monkeypatch):
    raw = sqlite3.connect(first)
    raw.execute("create table ages (id integer)")
    raw.close()
    with pytest.raises(StoreError, match="table ages already exists"):
        open_writer(url)
    raw = sqlite3.connect(first)
    assert raw.execute("select value from meta where key = 'schema_version'").fetchone() == ("1",)
    assert raw.execute("select count(*) from inspections").fetchone() == (4,)
    assert raw.execute("select name from sqlite_master where name = 'alembic_version'").fetchone() is None
    raw.close()


@pytest.mark.parametrize("version", [str(SCHEMA_VERSION + 1), "99", "two"])
def test_what_this_program_does_not_know_is_refused(url, first, version):
    before = first.read_bytes()
    raw = sqlite3.connect(first)
    raw.execute("update meta set value = ? where key = 'schema_version'", (version,))
    raw.commit()
    raw.close()
    changed = first.read_bytes()
    with pytest.raises(StoreError, match=r"is newer than this program's|not a database of this agent"):
        open_writer(url)
    # Only SQLite's own journal mode in the header differs.
    assert first.read_bytes()[100:] == changed[100:] and before != changed


def test_a_database_of_another_program_is_left_alone(url, tmp_path):
    raw = sqlite3.connect(tmp_path / "agent.db")
    raw.execute("create table meta (key text, value text)")
    raw.close()
    with pytest.raises(StoreError, match="not a database of this agent"):
        open_writer(url)
