"""What the disk keeps, and that no clock on the wall makes a fresh row old."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from agent.config.services import RetentionSection
from agent.records import StepType
from agent.store.age import DAY_S
from agent.store.audit import AuditEntry, AuditLog, Said
from agent.store.ledger import Ledger
from agent.store.outbox import Outbox
from agent.store.retention import Retention
from fbclip.decision import Verdict
from tests.factories.agent import FakeClock, a_draft, a_step, an_inspection, row_count
from tests.factories.postgres import on_both_engines

TODAY = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PLENTY = 1 << 40
IMAGE = 1 << 18


@pytest.fixture
def clock():
    return FakeClock()


class Shop:
    """A store with retention whose days pass by the monotonic clock, one note of the age at a time."""

    def __init__(self, database, folder, clock, free=PLENTY, **section):
        self.database, self.clock = database, clock
        section = {"pictures_mb": 1e6, "min_free_mb": 0, **section}
        self.retention = Retention(
            database, folder, RetentionSection(**section), "run-1", lambda _: (PLENTY, free), clock.monotonic
        )

    def turn(self, days=0.0, wall=TODAY):
        self.clock.time += days * DAY_S
        return self.retention.turn(wall)

    def seqs(self):
        with self.database.transaction() as connection:
            return [seq for (seq,) in connection.exec_driver_sql("select frame_seq from inspections order by id")]


def record(writer, seq, verdict=Verdict.OK, **changes):
    writer.record(an_inspection(verdict, seq, **changes), (), [a_draft()])


@on_both_engines
def test_images_of_ok_frames_go_first_and_those_of_anomalies_last(database, writer, tmp_path, clock):
    kinds = (Verdict.ANOMALY, Verdict.OK, Verdict.REJECTED, Verdict.OK, Verdict.ANOMALY)
    for seq, verdict in enumerate(kinds):
        ref = f"pictures/belt/day/run-1-{seq}.jpg"
        (tmp_path / ref).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / ref).write_bytes(bytes(IMAGE))
        record(writer, seq, verdict, image_ref=ref)
    kept = lambda: sorted(int(p.stem[-1]) for p in tmp_path.rglob("*.jpg"))  # noqa: E731
    assert Shop(database, tmp_path, clock, pictures_mb=1).turn().images == 1 and kept() == [0, 2, 3, 4]
    assert Shop(database, tmp_path, clock, pictures_mb=0.5).turn().images == 2 and kept() == [0, 4]
    # A disk that others have filled: the last image goes before a verdict has no room.
    assert Shop(database, tmp_path, clock, free=0, min_free_mb=1).turn().images == 2 and kept() == []
    with database.transaction() as connection:
        assert connection.exec_driver_sql("select count(image_ref) from inspections").scalar() == 0
    assert not (tmp_path / "pictures" / "belt" / "day").exists()


@on_both_engines
def test_images_that_no_row_names_go_before_all_others(database, writer, tmp_path, clock):
    folder = tmp_path / "pictures" / "belt" / "day"
    folder.mkdir(parents=True)
    for name in ("run-0-1.jpg", "run-0-1-overlay.jpg", "run-1-1.jpg", "run-1-2.jpg"):
        (folder / name).write_bytes(bytes(IMAGE))
    record(writer, 1, image_ref="pictures/belt/day/run-1-1.jpg")
    Shop(database, tmp_path, clock, pictures_mb=0.5).turn()
    assert sorted(p.name for p in folder.iterdir()) == ["run-1-1.jpg", "run-1-2.jpg"]


@on_both_engines
def test_rows_go_by_age_and_what_still_counts_stays(database, writer, tmp_path, clock):
    shop = Shop(database, tmp_path, clock, days=10, anomaly_days=100)
    ledger = Ledger(database)
    moved, waiting = (ledger.add_claimed("belt", f"{n}.png", 1, 1) for n in range(2))
    record(writer, 1, file_id=moved)
    writer.finish_disposition(moved)
    record(writer, 2, file_id=waiting)
    record(writer, 3, Verdict.ANOMALY)
    writer.record(an_inspection(Verdict.REJECTED, 4), (a_step(StepType.NEW, "open"),), ())
    writer.record(an_inspection(Verdict.REJECTED, 5), (a_step(StepType.NEW), a_step(StepType.END, reason="unit")), ())
    Outbox(database).mark_sent([1])
    shop.turn()
    shop.turn(days=9.8)
    assert shop.seqs() == [1, 2, 3, 4, 5]
    record(writer, 6)
    record(writer, 7)
    shop.turn(days=0.3)
    # The anomaly is kept longer, the open event needs its inspection, and two are not old yet.
    assert shop.seqs() == [3, 4, 6, 7]
    assert [m.body["message_seq"] for m in Outbox(database).pending(9)] == [2, 3, 4, 5]
    assert row_count(database, "files") == 1 and ledger.unmoved()[0].id == waiting
    shop.turn(days=90)
    assert shop.seqs() == [4, 7]
    assert row_count(database, "events") == 2
    shop.turn(days=9)
    # The very last row of a table is kept, so that no id is given out twice.
    assert (shop.seqs(), row_count(database, "events")) == ([4, 7], 2)


@on_both_engines
def test_a_jump_of_the_wall_clock_prunes_nothing(database, writer, tmp_path, clock):
    """A box without a clock of its own wakes up in 2020, judges, and learns the time, also across restarts."""
    for number in range(3):
        shop = Shop(database, tmp_path, clock, days=1)
        shop.turn(wall=datetime(2020, 1, 1, tzinfo=UTC))
        record(writer, 2 * number + 1, ts=datetime(2020, 1, 1, tzinfo=UTC))
        record(writer, 2 * number + 2, Verdict.ANOMALY, ts=datetime(2020, 1, 1, tzinfo=UTC))
        for days in (0.0, 2400.0, 2400.1, -5000.0):
            shop.turn(wall=datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=days))
    assert shop.seqs() == [1, 2, 3, 4, 5, 6]
    for _ in range(4):
        shop.turn(days=0.5)
    assert shop.seqs() == [6]


@on_both_engines
def test_time_switched_off_counts_as_far_as_it_can_be_trusted(database, writer, tmp_path, clock):
    Shop(database, tmp_path, clock, days=30).turn()
    record(writer, 1)
    record(writer, 2)
    for weekend in range(1, 12):
        shop = Shop(database, tmp_path, clock, days=30)
        shop.turn(wall=TODAY + timedelta(days=3 * weekend))
        if weekend <= 10:
            assert shop.seqs() == [1, 2]
    shop.turn(days=0.3)
    assert shop.seqs() == [2]


@pytest.mark.parametrize("limit", [{"rows": 1000}, {"database_mb": 16}])
def test_a_bound_in_rows_or_bytes_takes_ok_rows_first(database, writer, tmp_path, clock, limit):
    row = an_inspection(Verdict.OK, 0, context={"text": "x" * 20_000 if "database_mb" in limit else ""})
    record(writer, 0, Verdict.ANOMALY)
    with database.transaction() as connection:
        from agent.store.writer import _insert

        for seq in range(1, 1300):
            _insert(connection, database.agent, an_inspection(Verdict.OK, seq, context=row.context), None)
    shop = Shop(database, tmp_path, clock, **limit)
    for _ in range(3):
        clock.time += 61
        shop.turn()
    kept = shop.seqs()
    assert kept[0] == 0 and kept[-1] == 1299 and 600 < len(kept) <= 1000
    if "rows" in limit:
        assert len(kept) == 1000
    else:
        # And 4 MB to spare for the next rows.
        assert (tmp_path / "agent.db").stat().st_size < 21 << 20


def test_a_turn_keeps_up_with_three_fast_cameras_and_is_short(database, writer, tmp_path):
    """900 rows a minute are written; one turn a second must remove more, in transactions that hold up nobody."""
    with database.transaction() as connection:
        from agent.store.writer import _insert

        for seq in range(6000):
            _insert(connection, database.agent, an_inspection(Verdict.OK, seq), None)
    retention = Retention(database, tmp_path, RetentionSection(rows=1000, min_free_mb=0), "run-1")
    gone = [retention.turn(TODAY).inspections for _ in range(3)]
    assert sum(gone) >= 1500


@on_both_engines
def test_what_operators_said_goes_by_the_longer_age(database, writer, tmp_path, clock):
    shop, log = Shop(database, tmp_path, clock, days=10, anomaly_days=100), AuditLog(database)
    for text in ("first", "second"):
        log.note(AuditEntry("ctl", "reload", True, text))
    shop.turn()
    shop.turn(days=99)
    log.note(AuditEntry("ctl", "reload", True, "third"))
    assert [entry.text for entry in log.entries()] == ["third", "second", "first"]
    shop.turn(days=2)
    assert [entry.text for entry in log.entries()] == ["third"]


def test_old_messages_are_found_by_their_ids_and_none_is_sorted(database, writer, tmp_path, clock):
    found = []
    event.listen(database._engine, "before_cursor_execute", lambda _c, _u, *asked: found.append(asked[:2]))
    Shop(database, tmp_path, clock).turn()
    with database.transaction() as connection:
        for statement, values in [asked for asked in found if asked[0].startswith("DELETE")]:
            plan = str(connection.exec_driver_sql(f"explain query plan {statement}", values).all())
            assert "TEMP B-TREE" not in plan and "SCAN" not in plan, plan
    assert {table for table in ("outbox", "events", "files", "audit") if f"DELETE FROM {table}" in str(found)} == {
        "outbox",
        "events",
        "files",
        "audit",
    }


@on_both_engines
def test_what_somebody_has_judged_is_kept_with_its_picture(database, writer, tmp_path, clock):
    for seq in range(1, 5):
        ref = f"pictures/belt/day/run-1-{seq}.jpg"
        (tmp_path / ref).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / ref).write_bytes(bytes(IMAGE))
        record(writer, seq, image_ref=ref)
    AuditLog(database).add_feedback(2, Said("anomalous", "a crack", "ann", "page"))
    shop = Shop(database, tmp_path, clock, pictures_mb=0.01, days=1)
    shop.turn()
    assert [path.stem for path in tmp_path.rglob("*.jpg")] == ["run-1-2"]
    shop.turn(days=3)
    shop.turn(days=3)
    # The newest row stays anyway.
    assert shop.seqs() == [2, 4]
    assert row_count(database, "feedback") == 1
