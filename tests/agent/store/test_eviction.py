"""What is given up when messages pile up: results and refreshes, oldest first, announced; alerts never."""

from datetime import UTC, datetime, timedelta

import pytest

from agent.mqtt.bounds import Bounds
from agent.mqtt.payloads import Topics
from agent.pipeline.messages import evicted_draft
from agent.store import eviction as module
from agent.store.eviction import Eviction, EvictionLimits, ranges_of
from agent.store.outbox import Draft, Outbox, put
from agent.store.unsent_copy import UnsentCopy
from tests.factories.postgres import on_both_engines

NOW = datetime.now(UTC)
WIDE = {"rows": 1000, "body_bytes": 1 << 30, "age": timedelta(days=1)}
TOPICS = Topics("p", "a")


def bound(database, **limits) -> Eviction:
    return Eviction(database, "run-1", EvictionLimits(**(WIDE | limits)), evicted_draft(TOPICS))


@pytest.fixture
def piled(database, writer):
    """Ten of each kind, in turns: new, update, result and end, numbered 1 to 40."""
    with database.transaction() as connection:
        for _ in range(10):
            for topic, body in (
                ("p/a/belt/event", {"type": "new", "pad": "x" * 1000}),
                ("p/a/belt/event", {"type": "update", "pad": "x" * 1000}),
                ("p/a/belt/result", {"pad": "x" * 1000}),
                ("p/a/belt/event", {"type": "end"}),
            ):
                put(connection, "agent", "run-1", [Draft("belt", topic, body)])
    return database


def left(database) -> dict[str, list[int]]:
    """Kind -> numbers of what waits."""
    out: dict[str, list[int]] = {}
    for message in Outbox(database).pending(1000):
        name = message.body.get("type") or message.topic.rpartition("/")[2]
        out.setdefault(name, []).append(message.body["message_seq"])
    return out


def announced(database) -> list[int]:
    notices = [m.body for m in Outbox(database).pending(1000) if m.topic == "p/a/belt/evicted"]
    return [n for body in notices for first, last in body["message_seqs"] for n in range(first, last + 1)]


@on_both_engines
def test_within_the_limits_everything_stays(piled):
    eviction = bound(piled)
    assert eviction.turn(NOW) == {} and Outbox(piled).count() == 40 and eviction.ever() == {}


@on_both_engines
@pytest.mark.parametrize("limits", [{"rows": 10}, {"body_bytes": 10 * 1020}, {"age": timedelta(0)}])
def test_beyond_a_limit_the_oldest_go_and_every_number_is_explained(piled, limits):
    eviction = bound(piled, **limits)
    later = datetime.now(UTC) + timedelta(minutes=1)
    gone = eviction.turn(later)
    found = left(piled)
    assert found["new"] == list(range(1, 41, 4)) and found["end"] == list(range(4, 41, 4)), "alerts are never evicted"
    kept = found.get("update", []) + found.get("result", [])
    assert len(kept) == (0 if "age" in limits else 9) and gone == {"belt": 20 - len(kept)}
    assert found["evicted"] == [41], "the notice is numbered itself"
    assert sorted(kept + announced(piled) + found["new"] + found["end"]) == list(range(1, 41))
    assert eviction.ever()["belt"].messages == gone["belt"]
    assert eviction.turn(later) == {}, "no notice for each message more"


def test_what_is_on_its_way_and_the_newest_row_stay_and_the_copy_follows(piled, tmp_path):
    eviction = bound(piled, rows=1)
    on_its_way = [m.id for m in Outbox(piled).pending(1000) if m.body["message_seq"] == 2]
    assert eviction.turn(NOW, on_its_way) == {"belt": 19}
    assert left(piled)["update"] == [2]
    waiting = {m.message_id for m in Outbox(piled).pending(1000)}
    assert {row["message_id"] for row in UnsentCopy(tmp_path / "agent.db").rows} == waiting


@on_both_engines
def test_many_gaps_are_announced_in_several_notices(piled, monkeypatch):
    monkeypatch.setattr(module, "RANGES_A_NOTICE", 3)
    bound(piled, rows=1).turn(NOW)
    assert len(left(piled)["evicted"]) == 4 and len(announced(piled)) == 20


@on_both_engines
def test_counts_go_on_after_a_restart_and_age_from_a_problem_to_a_note(piled, caplog):
    eviction, clock = bound(piled, rows=10), [NOW]
    bounds = Bounds(eviction, lambda: clock[0])
    assert bounds.step(0, tuple) and not bounds.step(0, tuple)
    assert bounds.problem().startswith("line belt: 11 results and refreshes given up since 2") and not bounds.notes()
    clock[0] += timedelta(hours=2)
    assert bounds.problem() is None and "11 results" in bounds.notes()[0]
    again = Bounds(bound(piled, rows=1), lambda: clock[0])
    assert again.step(0, tuple) and "line belt: 20 results" in again.problem()
    assert sum("are given up" in record.getMessage() for record in caplog.records) == 2


def test_ranges():
    assert ranges_of([1, 2, 3, 5, 8, 9]) == [(1, 3), (5, 5), (8, 9)] and ranges_of([]) == []
