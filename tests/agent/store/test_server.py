"""One PostgreSQL server for several agents: a real one, which each keeps to its own rows of."""

import sys
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from agent.config.services import RetentionSection
from agent.errors import StoreError
from agent.records import FileState, StepType
from agent.store.access import open_reader, open_writer, try_store
from agent.store.audit import AuditEntry, AuditLog
from agent.store.keeper import StoreKeeper
from agent.store.ledger import Ledger
from agent.store.outbox import Outbox
from agent.store.reader import Reader
from agent.store.retention import Retention
from agent.store.schema import metadata
from agent.store.writer import Writer
from fbclip.decision import Verdict
from tests.factories.agent import FakeClock, a_draft, a_step, an_inspection, row_count
from tests.factories.brokers import wait_until
from tests.factories.postgres import PASSWORD, name_of


@pytest.fixture
def url(postgres):
    return postgres.new_database()


@pytest.fixture
def two(url):
    """Two agents on one database, each in a run of its own."""
    opened = [open_writer(url, name) for name in ("left", "right")]
    writers = [Writer(database) for database in opened]
    for name, writer in zip(("left", "right"), writers, strict=True):
        writer.start_run(f"run-{name}", lambda step: a_draft(step.line))
    yield list(zip(opened, writers, strict=True))
    for database in opened:
        database.close()


def test_the_steps_lead_to_the_tables_of_this_version(url):
    database = open_writer(url)
    with database.transaction() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()
    open_writer(url).close()
    open_reader(url).close()


def test_agents_leave_the_rows_of_each_other_alone(two, url):
    (left, left_writer), (right, right_writer) = two
    assert left_writer.stream_id != right_writer.stream_id
    for name, (_, writer) in zip(("left", "right"), two, strict=True):
        found = an_inspection(Verdict.ANOMALY, run=f"run-{name}")
        writer.record(found, [a_step(StepType.NEW, f"e-{name}")], [a_draft(), a_draft()])
    claimed = Ledger(right).add_claimed("belt", "/in/a.png", 1, 2)
    # `left` dies and comes back.
    left.close()
    again = open_writer(url, "left")
    writer = Writer(again)
    assert writer.stream_id == left_writer.stream_id
    assert writer.start_run("run-again", lambda step: a_draft(step.line)) == 1
    assert Ledger(again).recover() == ()
    assert Ledger(again).find("belt", "/in/a.png", 1, 2) is None
    known = Ledger(right).find("belt", "/in/a.png", 1, 2)
    assert known is not None and (known.id, known.state) == (claimed, FileState.CLAIMED)
    assert [m.body["message_seq"] for m in Outbox(again).pending(9)] == [1, 2, 3]
    assert [m.body["message_seq"] for m in Outbox(right).pending(9)] == [1, 2]
    Outbox(again).park([m.id for m in Outbox(again).pending(9)], "too large", held=False)
    assert (Outbox(right).count(), Outbox(right).parked().count, Outbox(again).parked().count) == (2, 0, 3)
    reader = open_reader(url, "right")
    assert [row.event_id for row in Reader(reader).recent_events()] == ["e-right"]
    status = Reader(reader).status()
    assert (status.run, status.open_events, status.unsent) == ("run-right", 1, 2)
    assert Reader(reader).totals("belt")[Verdict.ANOMALY] == 1
    reader.close()
    AuditLog(right).note(AuditEntry("ctl", "ack", True, "done"))
    assert (len(AuditLog(right).entries()), AuditLog(again).entries()) == (1, ())
    assert (AuditLog(again).line_of_event("e-right"), AuditLog(right).line_of_event("e-right")) == (None, "belt")
    again.close()


def test_retention_prunes_its_own_rows_only(two, tmp_path):
    (left, _), (right, _) = two
    for name, (_, writer) in zip(("left", "right"), two, strict=True):
        for seq in range(1010):
            writer.record(an_inspection(run=f"run-{name}", seq=seq), (), ())
    Retention(left, tmp_path, RetentionSection(rows=1000, min_free_mb=0), "run-left").turn(FakeClock().now())
    assert Reader(left).totals("belt")[Verdict.OK] == 1000
    assert Reader(right).totals("belt")[Verdict.OK] == 1010


def test_a_second_agent_of_the_same_name_is_refused(url):
    first = open_writer(url, "press")
    with pytest.raises(StoreError, match="another agent named press uses this database") as caught:
        open_writer(url, "press")
    assert PASSWORD not in str(caught.value)
    open_writer(url, "lathe").close()
    first.close()
    open_writer(url, "press").close()


def test_a_name_that_was_lost_to_another_agent_ends_the_run(url, postgres, tmp_path):
    first = open_writer(url, "press")
    keeper = StoreKeeper(first, Writer(first), Retention(first, tmp_path, RetentionSection(min_free_mb=0), "run-1"))
    keeper.step()
    assert (keeper.problems(), keeper.failure) == ((), None)
    postgres.execute(name_of(url), "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    second = open_writer(url, "press")
    keeper.step()
    assert "another agent named press" in str(keeper.failure)
    second.close()
    first.close()


def test_what_was_committed_as_the_server_was_lost_is_not_written_twice(two):
    (database, writer), _ = two
    lost = threading.Event()

    @event.listens_for(database._engine, "commit")
    def lose(connection):
        if not lost.is_set():
            lost.set()
            # It commits, and the answer is lost.
            connection.connection.driver_connection.commit()
            raise OperationalError("commit", None, Exception("the connection was lost"))

    found = an_inspection(Verdict.ANOMALY, run="run-left")
    with pytest.raises(StoreError, match="lost"):
        writer.record(found, [a_step(StepType.NEW)], [a_draft()])
    writer.record(found, [a_step(StepType.NEW)], [a_draft()])
    assert (row_count(database, "inspections"), row_count(database, "outbox"), row_count(database, "events")) == (
        1,
        1,
        1,
    )
    lost.clear()
    ledger = Ledger(database)
    with pytest.raises(StoreError):
        ledger.add_claimed("belt", "/in/a.png", 1, 2)
    known = ledger.find("belt", "/in/a.png", 1, 2)
    assert known is not None and known.state is FileState.PENDING
    assert ledger.claim(known.id)


def test_a_server_that_was_away_is_taken_up_again(url, postgres, tmp_path):
    database = open_writer(url)
    writer = Writer(database)
    writer.start_run("run-1", lambda step: None)
    keeper = StoreKeeper(database, writer, Retention(database, tmp_path, RetentionSection(min_free_mb=0), "run-1"))
    postgres.stop()
    try:
        with pytest.raises(StoreError) as caught:
            writer.record(an_inspection(), (), [a_draft()])
        keeper.step()
        assert any("server is away" in problem for problem in keeper.problems())
        with pytest.raises(StoreError) as start:
            open_writer(url, "other")
        for error in (caught.value, start.value):
            assert PASSWORD not in str(error) and "\n" not in str(error)
    finally:
        postgres.start()

    def well() -> bool:
        keeper.step()
        return keeper.problems() == ()

    wait_until(well)
    writer.record(an_inspection(), (), [a_draft()])
    assert (row_count(database, "inspections"), Outbox(database).count(), keeper.failure) == (1, 1, None)
    database.close()


def test_text_that_postgresql_does_not_take_is_taken(two):
    (database, writer), _ = two
    ledger = Ledger(database)
    name = "/in/" + "x" * 3990 + "\udcff\0.png"
    number = ledger.add_claimed("belt", name, 1, 2)
    known = ledger.find("belt", name, 1, 2)
    assert known is not None and known.id == number
    writer.record(an_inspection(run="run-left", path="a\0b", context={"part": "\udcff"}), (), [a_draft()])
    AuditLog(database).note(AuditEntry("mqtt", "v" * 200, False, "\0", by="\0" * 300, detail={"a": "\0"}))
    assert AuditLog(database).entries()[0].detail == {"a": "\0"}
    with database.transaction() as connection:
        stored = connection.execute(text("select path, ts from inspections")).one()
    assert stored.path == "a\\x00b" and stored.ts == an_inspection().ts


def test_without_the_driver_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"pip install 'fbclip-inspect\[postgresql\]'"):
        open_writer("postgresql://user:topsecret@host/name")


def test_a_full_database_picks_the_next_by_an_index(two):
    (database, _), _ = two
    with database.transaction() as connection:
        connection.execute(text("set local enable_seqscan = off"))
        for table, where in (("outbox", "sent is null and parked is null and line = 'belt'"), ("events", "true"),
                             ("files", "disposition = 'finished'"), ("inspections", "verdict = 'ok'")):  # fmt: skip
            query = f"explain select id from {table} where agent = 'left' and {where} order by id limit 1"
            plan = "\n".join(connection.execute(text(query)).scalars())
            assert "Index" in plan and "Sort" not in plan, plan


def test_the_server_lets_go_of_an_agent_whose_machine_is_gone(two):
    """Its name would else be taken for the two hours that a server waits by itself."""
    (database, _), _ = two
    assert database.name_lock is not None and database.name_lock._held is not None
    names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
    found = [int(str(database.name_lock._held.execute(text(f"select setting from pg_settings where name = '{name}'"))
                     .scalar())) for name in names]  # fmt: skip
    assert found == [5, 2, 3, 8000]


def test_a_check_makes_nothing_and_says_what_would_fail(url, postgres):
    try_store(url)
    assert postgres.execute(name_of(url), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    role = f"r{name_of(url)}"
    postgres.execute("postgres", f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    with pytest.raises(StoreError, match="its role may not make tables there; let it own the database"):
        try_store(url.replace("//agent:", f"//{role}:"))
    open_writer(url).close()
    try_store(url)
    postgres.execute(name_of(url), "UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(StoreError, match="schema 99 is newer"):
        try_store(url)
    with pytest.raises(StoreError, match="does not exist") as caught:
        try_store(url + "x")
    assert PASSWORD not in str(caught.value)
