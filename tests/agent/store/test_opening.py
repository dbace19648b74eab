"""A database that was damaged or deleted while no agent ran: noticed at the start, mended, and said aloud."""

import random
import sqlite3

import pytest

from agent.errors import StoreError
from agent.records import StepType
from agent.store.access import open_writer
from agent.store.integrity import damage_of
from agent.store.ledger import Ledger
from agent.store.outbox import Outbox
from agent.store.reader import Reader
from agent.store.unsent_copy import copy_of
from agent.store.writer import Writer
from fbclip.decision import Verdict
from tests.factories.agent import a_draft, a_step, an_inspection, row_count

ALERTS = 180


@pytest.fixture
def ids(url):
    """The messages that wait when the agent ends cleanly."""
    database = open_writer(url)
    writer, ledger = Writer(database), Ledger(database)
    writer.start_run("run-1", lambda step: None)
    for seq in range(ALERTS + 20):
        ledger.opened(ledger.add_claimed("belt", f"{seq}.png", 1, 1), "aa")
        writer.record(an_inspection(Verdict.ANOMALY, seq), (a_step(StepType.NEW, f"e{seq}"),), [a_draft()])
    Outbox(database).mark_sent(range(1, 21))
    found = [m.message_id for m in Outbox(database).pending(1000)]
    writer.end_run(clean=True)
    database.close()
    return found


def overwrite(path, pages):
    with path.open("r+b") as stream:
        for page in pages:
            stream.seek(4096 * page)
            stream.write(b"\x5a" * 4096)


def opened_ids(url):
    database = open_writer(url)
    found = [m.message_id for m in Outbox(database).pending(1000)]
    numbers = [m.body["message_seq"] for m in Outbox(database).pending(1000)]
    assert numbers == list(range(21, ALERTS + 21))
    Writer(database).record(an_inspection(Verdict.ANOMALY, 999), (), [a_draft()])
    assert Outbox(database).pending(1000)[-1].body["message_seq"] == ALERTS + 21
    incident = Reader(database).status().incident
    rows = {table: row_count(database, table) for table in ("inspections", "files", "events")}
    database.close()
    return found, incident, rows


@pytest.mark.parametrize("seed", range(6))
def test_any_page_may_be_overwritten_after_a_clean_stop(url, tmp_path, ids, seed, caplog):
    file = tmp_path / "agent.db"
    pages = file.stat().st_size // 4096
    # The first page holds the header, others the tables' names; without them only the copy is left.
    hit = [0] if seed == 0 else random.Random(seed).sample(range(1, pages), 3)
    raw = sqlite3.connect(file)
    names = {page - 1 for (page,) in raw.execute("select pageno from dbstat where name = 'sqlite_schema'")}
    raw.close()
    overwrite(file, hit)
    found, incident, rows = opened_ids(url)
    assert found == ids
    assert f"{ALERTS} unsent messages are kept" in incident.text and incident.text in caplog.text
    aside = next(tmp_path.glob("agent.db.corrupt-*"))
    assert aside.read_bytes()[4096 * hit[0] : 4096 * hit[0] + 4096] == b"\x5a" * 4096
    assert (sum(rows.values()) > 200) is names.isdisjoint(hit)


def damage(file, random_):
    """Bits turned, pages overwritten, or the end cut off."""
    data = bytearray(file.read_bytes())
    match random_.randrange(3):
        case 0:
            for _ in range(random_.randint(1, 60)):
                data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
        case 1:
            page = 4096 * random_.randrange(len(data) // 4096)
            data[page : page + 4096] = random_.randbytes(4096)
        case 2:
            data = data[: random_.randrange(len(data))]
    file.write_bytes(data)


def test_no_damage_of_either_file_loses_an_alert_or_stops_the_agent(url, tmp_path, ids):
    files = {name: (tmp_path / name).read_bytes() for name in ("agent.db", "unsent-of-agent.db")}
    for seed in range(30):
        for left in tmp_path.glob("*agent.db*"):
            left.unlink()
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        random_ = random.Random(seed)
        damage(tmp_path / random_.choice(("agent.db", "agent.db", "unsent-of-agent.db")), random_)
        database = open_writer(url)
        try:
            waiting = Outbox(database).pending(1000)
        except StoreError:
            # What the check did not see is met by the sender, and mended by the keeper's next step.
            assert database.renewal_due()
            database.renew()
            waiting = Outbox(database).pending(1000)
        # A turned bit in an id or number that SQLite does not check changes that; the alert is there.
        assert len(waiting) >= ALERTS, seed
        assert len({m.message_id for m in waiting} & set(ids)) >= ALERTS - 2, seed
        database.close()


def test_a_database_of_an_earlier_version_without_a_copy_is_read_around_the_damage(url, tmp_path, ids):
    copy_of(tmp_path / "agent.db").unlink()
    raw = sqlite3.connect(tmp_path / "agent.db")
    page = raw.execute("select pageno from dbstat where name = 'inspections' and pagetype = 'leaf'").fetchall()[3][0]
    raw.close()
    overwrite(tmp_path / "agent.db", [page - 1])
    found, _, rows = opened_ids(url)
    assert found == ids
    assert 150 < rows["inspections"] < ALERTS + 21 and rows["files"] == rows["events"] == ALERTS + 20


def test_a_database_deleted_while_the_agent_was_off(url, tmp_path, ids):
    for file in tmp_path.glob("agent.db*"):
        file.unlink()
    found, incident, _ = opened_ids(url)
    assert found == ids and "agent.db was gone: a new one is started" in incident.text


def test_sent_messages_do_not_come_back_and_a_sound_start_says_nothing(url, ids):
    database = open_writer(url)
    assert database.incident is None and row_count(database, "outbox") == ALERTS + 20
    Outbox(database).mark_sent(range(21, ALERTS + 21))
    database.close()
    again = open_writer(url)
    assert Outbox(again).pending(1) == () and again.incident is None
    again.close()


def test_a_check_that_takes_too_long_ends_and_says_so(url, tmp_path, ids, caplog, monkeypatch):
    monkeypatch.setattr("agent.store.integrity._STEPS", 10)
    ticks = iter(range(10_000))
    assert damage_of(tmp_path / "agent.db", seconds=3.0, clock=lambda: next(ticks)) is None
    assert "the rest of the file is unchecked" in caplog.text
