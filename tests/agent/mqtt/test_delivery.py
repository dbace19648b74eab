"""From the outbox through a real broker: a broker that is away, a restart, a new connection, shadow lines."""

from __future__ import annotations

import queue
from collections import defaultdict
from datetime import timedelta

import pytest

from agent.mqtt.bounds import Bounds
from agent.mqtt.sender import Sender
from agent.pipeline.messages import Messages, StatePublisher, evicted_draft
from agent.records import EventKind, EventStep, LineMode, StepType
from agent.store.access import open_writer
from agent.store.eviction import Eviction, EvictionLimits
from agent.store.outbox import Draft, Outbox, put
from agent.store.writer import Writer
from fbclip.decision import Verdict
from tests.factories.agent import a_judged, a_step, an_inspection
from tests.factories.brokers import wait_until
from tests.factories.mqtt import TOPICS, Listener, a_client, listening

# Ten thousand, by hand, take a minute.
ALERTS, LINES = 2000, ("belt", "dock")
OPEN = ("allow_anonymous true", "max_queued_messages 0")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("agent.mqtt.client.RECONNECT_MIN_S", 0.2)
    monkeypatch.setattr("agent.mqtt.client.RECONNECT_MAX_S", 0.4)


@pytest.fixture
def database(tmp_path):
    opened = open_writer(f"sqlite:///{tmp_path}/agent.db")
    Writer(opened).start_run("run-1", lambda step: None)
    yield opened
    opened.close()


def heard(listener: Listener) -> list[tuple[str, dict, bool]]:
    out = []
    while True:
        try:
            out.append(listener.messages.get_nowait())
        except queue.Empty:
            return out


def test_thousands_of_alerts_outlive_a_broker_that_is_away_and_every_number_is_explained(mosquitto, database):
    broker = mosquitto(*OPEN)
    broker.kill()
    limits = EvictionLimits(rows=200, body_bytes=1 << 30, age=timedelta(days=1))
    bounds = Bounds(Eviction(database, "run-1", limits, evicted_draft(TOPICS)))
    sender = Sender(a_client(broker.port), Outbox(database), "run-1", TOPICS.status, bounds=bounds)
    drafts = []
    for number in range(ALERTS):
        line = LINES[number % len(LINES)]
        drafts.append(Draft(line, TOPICS.event(line), {"type": ("new", "end")[number // 2 % 2], "event_id": number}))
        if number % 3 == 0:
            drafts.append(Draft(line, TOPICS.result(line), {"verdict": "ok"}))
    with database.transaction() as connection:
        put(connection, "agent", "run-1", drafts)
    sender.start()
    wait_until(lambda: "results and refreshes given up since" in (sender.problem() or ""))
    assert "connection refused" in sender.problem()
    broker.start()
    bodies: dict[str, dict[int, dict]] = defaultdict(dict)
    order: dict[str, list[int]] = defaultdict(list)
    with listening(broker.port) as listener:
        wait_until(lambda: Outbox(database).count() == 0, timeout=90)
        sender.stop(2)
        for topic, body, _ in heard(listener):
            if "message_seq" in body:
                line = topic.split("/")[2]
                order[line] += [] if body["message_seq"] in bodies[line] else [body["message_seq"]]
                bodies[line][body["message_seq"]] = body
    got = [body["event_id"] for line in LINES for body in bodies[line].values() if "event_id" in body]
    assert sorted(got) == list(range(ALERTS)), "no alert is missing"
    for line in LINES:
        assert order[line] == sorted(order[line]), "each line in its order"
        notices = [body["message_seqs"] for body in bodies[line].values() if "message_seqs" in body]
        told = {seq for pairs in notices for first, last in pairs for seq in range(first, last + 1)}
        assert not told & bodies[line].keys() and len(told) > 100
        assert sorted(told | bodies[line].keys()) == list(range(1, max(bodies[line]) + 1)), "a gap is explained"


def test_after_a_restart_what_waited_and_what_was_parked_is_replayed_as_historical(mosquitto, database):
    port = mosquitto(*OPEN).port
    outbox = Outbox(database)
    with database.transaction() as connection:
        put(connection, "agent", "run-1", [Draft("belt", TOPICS.event("belt"), {"type": "new"}) for _ in range(3)])
    waiting = outbox.pending(10)
    outbox.park([waiting[0].id], "refused: Not authorized", held=False)
    outbox.park([waiting[1].id], "the broker ends the connection over it", held=True)
    Writer(database).start_run("run-2", lambda step: None)
    with database.transaction() as connection:
        put(connection, "agent", "run-2", [Draft("dock", TOPICS.event("dock"), {"type": "new"})])
    with listening(port) as listener:
        sender = Sender(a_client(port), outbox, "run-2", TOPICS.status)
        sender.start()
        wait_until(lambda: outbox.count() == 0 and outbox.parked().count == 0)
        found = {body["message_id"]: (topic, body["historical"]) for topic, body, _ in drain(listener, 4)}
        assert {one.message_id for one in waiting} <= found.keys()
        assert sorted(found.values()) == [(TOPICS.event("belt"), True)] * 3 + [(TOPICS.event("dock"), False)]
        sender.stop(2)


def drain(listener: Listener, count: int) -> list[tuple[str, dict, bool]]:
    out = []
    while len(out) < count:
        found = listener.messages.get(timeout=15)
        out += [found] if "message_id" in found[1] else []
    return out


def test_a_broker_that_forgot_everything_is_told_all_retained_topics_again(mosquitto, database):
    broker = mosquitto(*OPEN)
    sender = Sender(a_client(broker.port), Outbox(database), "run-1", TOPICS.status)
    sender.retain(TOPICS.health, {"healthy": True})
    sender.retain(TOPICS.line_state("belt"), {"verdict": "ok"})
    sender.start()
    wanted = {TOPICS.status: {"state": "online"}, TOPICS.health: {"healthy": True}}
    wanted[TOPICS.line_state("belt")] = {"verdict": "ok"}
    for turn in range(2):
        # Connected is one thing; that the pump knows of it, and has said all anew, another.
        noted = lambda after=turn: sender._pump._connections == sender._client.connections > after  # noqa: E731
        wait_until(lambda known=noted: known() and sender._pump.idle)
        with listening(broker.port) as late:
            got = {topic: (body, retained) for topic, body, retained in (late.messages.get(timeout=15) for _ in wanted)}
            assert got == {topic: (body, True) for topic, body in wanted.items()}, "who comes later hears them, too"
        broker.kill()
        wait_until(lambda: not sender._client.connected)
        broker.start()
    sender.stop(2)


def test_a_shadow_line_says_nothing_but_that_it_is_one(mosquitto, database):
    port = mosquitto(*OPEN).port
    writer = Writer(database)
    modes = {"belt": LineMode.SHADOW, "dock": LineMode.LIVE}
    messages = Messages(TOPICS, modes)
    sender = Sender(a_client(port), Outbox(database), "run-1", TOPICS.status)
    states = StatePublisher(TOPICS, sender)
    listener = Listener(port, "#")
    sender.start()
    for seq in (1, 2):
        for line, mode in modes.items():
            sender.retain(TOPICS.line_status(line), {"state": "running", "mode": mode.value})
            inspection = an_inspection(Verdict.ANOMALY, seq=seq, line=line, mode=mode, discrete=True)
            steps = [EventStep(f"{line}-{seq}", EventKind.ANOMALY, StepType.NEW, line, inspection.ts, None)]
            writer.record(inspection, steps, messages.of(inspection, steps))
            states.inspected(a_judged(inspection))
    assert messages.of_end(a_step(StepType.END, "belt-1", "shutdown")) is None
    wait_until(lambda: Outbox(database).count() == 0 and sender._pump.idle)
    sender.stop(2)
    said = defaultdict(list)
    while not any(body.get("state") == "offline" for body in said[TOPICS.status]):
        topic, body, _ = listener.messages.get(timeout=15)
        said[topic].append(body)
    listener.close()
    assert {topic for topic in said if "/belt/" in topic} == {TOPICS.line_status("belt")}
    assert all(body["mode"] == "shadow" for body in said[TOPICS.line_status("belt")])
    assert len(said[TOPICS.event("dock")]) == len(said[TOPICS.result("dock")]) == 2
    assert TOPICS.line_state("dock") in said
