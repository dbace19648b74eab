"""A real broker that takes some messages only: these wait with their reason, the others go out."""

from __future__ import annotations

import json
import socket

import pytest

from agent.mqtt.payloads import event_body
from agent.mqtt.sender import Sender
from agent.records import StepType
from agent.store.access import open_writer
from agent.store.outbox import Draft, Outbox, Parked, put
from agent.store.writer import Writer
from fbclip.decision import Decision, Region, Verdict
from tests.factories.agent import a_step, an_inspection
from tests.factories.brokers import wait_until
from tests.factories.mqtt import TOPICS, a_client, listening


@pytest.fixture
def database(tmp_path):
    opened = open_writer(f"sqlite:///{tmp_path}/agent.db")
    Writer(opened).start_run("run-1", lambda step: None)
    yield opened
    opened.close()


@pytest.fixture
def outbox(database):
    return Outbox(database)


def post(database, line: str, count: int = 1, regions: int = 0, **more) -> None:
    found = tuple(Region((i, i, 9, 9), 81, float(i)) for i in range(regions))
    decision = Decision(Verdict.ANOMALY, None, 1.5, 2.5, 0.9, 1.0, found)
    body = event_body("demo", a_step(StepType.NEW), an_inspection(line=line, decision=decision))
    with database.transaction() as connection:
        put(connection, "agent", "run-1", [Draft(line, TOPICS.event(line), {**body, **more}) for _ in range(count)])


def started(port: int, outbox: Outbox, v5: bool = True) -> Sender:
    client = a_client(port)
    client._v5 = v5
    sender = Sender(client, outbox, "run-1", TOPICS.status)
    sender.start()
    return sender


def test_what_is_larger_than_the_broker_says_is_shrunk_or_parked(mosquitto, database, outbox):
    port = mosquitto("allow_anonymous true", "max_packet_size 1300").port
    post(database, "belt")
    post(database, "belt", regions=40)
    post(database, "belt", context={"note": "x" * 2000})
    post(database, "belt")
    with listening(port) as listener:
        sender = started(port, outbox)
        heard = [listener.until(TOPICS.event("belt")) for _ in range(3)]
        wait_until(lambda: outbox.count() == 0 and "1 messages are parked" in (sender.problem() or ""))
        assert [body["message_seq"] for body in heard] == [1, 2, 4]
        kept = [region["margin_max"] for region in heard[1]["regions"]]
        assert kept == [float(i) for i in range(40 - len(kept), 40)] and heard[1]["regions_omitted"] == 40 - len(kept)
        assert kept and len(json.dumps(heard[1])) > 1200
        assert "regions_omitted" not in heard[0]
        assert sender._client.connections == 1, "the broker never had a reason to hang up"
        assert "more than the 1300 that the broker takes" in sender.problem()
        sender.stop(5)


@pytest.mark.parametrize("v5", [True, False])
def test_a_broker_that_does_not_say_how_much_it_takes(mosquitto, database, outbox, monkeypatch, v5):
    """It refuses the message, or hangs up over it: it is parked either way, and the alerts behind it go out."""
    monkeypatch.setattr("agent.mqtt.client.RECONNECT_MIN_S", 0.05)
    limit = "message_size_limit 1300" if v5 else "max_packet_size 1300"
    port = mosquitto("allow_anonymous true", limit).port
    post(database, "belt")
    post(database, "belt", context={"note": "x" * 2000})
    post(database, "belt", count=3)
    with listening(port) as listener:
        sender = started(port, outbox, v5)
        heard = set()
        while not heard >= {1, 3, 4, 5}:
            # What was acknowledged when the broker hung up may come twice.
            heard.add(listener.until(TOPICS.event("belt"))["message_seq"])
        wait_until(lambda: outbox.count() == 0 and outbox.parked().count == 1)
        assert heard == {1, 3, 4, 5}
        post(database, "belt")
        listener.until(TOPICS.event("belt"), message_seq=6)
        wait_until(lambda: "1 messages are parked" in (sender.problem() or ""))
        sender.stop(5)


def test_a_line_that_may_not_publish_stands_in_nobodys_way(mosquitto, database, outbox, tmp_path):
    rules = tmp_path / "acl"
    rules.write_text(f"topic readwrite {TOPICS.status}\ntopic readwrite {TOPICS.event('b')}\ntopic read #\n")
    broker = mosquitto("allow_anonymous true", f"acl_file {rules}")
    post(database, "a", count=1200)
    post(database, "b", count=5)
    with listening(broker.port) as listener:
        sender = started(broker.port, outbox)
        heard = [listener.until(TOPICS.event("b"))["message_seq"] for _ in range(5)]
        assert heard == [1, 2, 3, 4, 5]
        assert outbox.count() + outbox.parked().count >= 1000, "line b did not wait for all of line a"
        wait_until(lambda: outbox.count() == 0)
        wait_until(lambda: "1200 messages are parked" in (sender.problem() or ""))
        assert "line a: refused: Not authorized" in sender.problem()
        post(database, "b")
        sender.wake()
        listener.until(TOPICS.event("b"), message_seq=6)
    broker.kill()
    wait_until(lambda: not sender._client.connected)
    rules.write_text("topic readwrite #\n")
    broker.start()
    with listening(broker.port) as listener:
        wait_until(lambda: outbox.count() == 0 and outbox.parked().count == 0)
        wait_until(lambda: sender.problem() is None)
        sender.stop(5)


def test_a_broker_that_was_silent_at_first_is_heard_to_refuse(mosquitto, database, outbox, tmp_path, monkeypatch):
    """In MQTT 3.1.1 it acknowledges what it throws away."""
    for name, seconds in {"link.SILENCE_S": 0.2, "client.RETRY_V5_S": 0.1, "client.RECONNECT_MIN_S": 0.05}.items():
        monkeypatch.setattr(f"agent.mqtt.{name}", seconds)
    rules = tmp_path / "acl"
    rules.write_text(f"topic readwrite {TOPICS.status}\n")
    broker = mosquitto("allow_anonymous true", f"acl_file {rules}")
    broker.kill()
    with socket.create_server(("127.0.0.1", broker.port)):
        sender = started(broker.port, outbox)
        wait_until(lambda: not sender._client._v5)
    broker.start()
    wait_until(lambda: sender._client._v5 and sender._client.connected)
    post(database, "a")
    sender.wake()
    wait_until(lambda: outbox.parked() == Parked(1, "a", "refused: Not authorized"))
    sender.stop(5)
