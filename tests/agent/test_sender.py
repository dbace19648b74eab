"""The outbox pump against a client that loses, refuses and reuses."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from agent.errors import MqttError, StoreError
from agent.mqtt.client import Ack
from agent.mqtt.payloads import encode, event_body, result_body, stamp, timestamp
from agent.mqtt.sender import STUCK_AFTER_S, WINDOW, Pump, Sender
from agent.records import EventKind, EventStep, Message, StepType
from agent.store.outbox import Identity
from fbclip.decision import Verdict
from tests.agent.conftest import an_inspection

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class FakePort:
    connected: bool = True
    connections: int = 1
    receive_maximum: int = 65535
    sent: list[tuple[int, str, bytes, bool]] = field(default_factory=list)
    queue: list[Ack] = field(default_factory=list)
    answering: bool = False
    refusing: bool = False
    next_mid: int = 0
    restarts: int = 0
    closed: bool = False

    def connect(self) -> None: ...

    def service(self) -> None: ...

    def publish(self, topic: str, payload: bytes, retain: bool) -> int:
        if self.refusing:
            raise MqttError("not taken")
        self.next_mid += 1
        self.sent.append((self.next_mid, topic, payload, retain))
        if self.answering:
            self.ack(self.next_mid)
        return self.next_mid

    def ack(self, mid: int, failed: bool = False) -> None:
        self.queue.append(Ack(mid, failed, "why"))

    def acks(self) -> tuple[Ack, ...]:
        out, self.queue = tuple(self.queue), []
        return out

    def restart(self) -> None:
        self.restarts += 1
        self.queue.clear()
        self.connections += 1

    def problem(self) -> str | None:
        return None

    def close(self) -> None:
        self.closed = True


class FakeRows:
    def __init__(self, count: int) -> None:
        self.waiting = list(range(1, count + 1))
        self.failures: list[int] = []
        self.broken = False

    def pending(self, limit: int, exclude_ids: Collection[int] = ()) -> tuple[Message, ...]:
        ids = [i for i in self.waiting if i not in exclude_ids][:limit]
        return tuple(Message(i, f"m{i}", "t/event", {"message_id": f"m{i}"}, NOW, "run-1") for i in ids)

    def mark_sent(self, ids: Collection[int]) -> None:
        if self.broken and ids:
            raise StoreError("disk full")
        self.waiting = [i for i in self.waiting if i not in ids]

    def mark_failed(self, ids: Collection[int]) -> None:
        self.failures += ids


def a_pump(count: int, **port) -> tuple[Pump, FakePort, FakeRows]:
    fake, rows = FakePort(**port), FakeRows(count)
    return Pump(fake, rows, "run-1"), fake, rows


def test_the_window_is_ours_and_the_brokers():
    pump, port, _ = a_pump(50)
    pump.step(0)
    pump.step(1)
    assert len(port.sent) == WINDOW
    pump, port, _ = a_pump(50, receive_maximum=3)
    pump.step(0)
    assert len(port.sent) == 3


def test_only_an_acknowledgement_marks_sent_and_nothing_is_sent_twice():
    pump, port, rows = a_pump(3)
    pump.step(0)
    port.connected = False
    pump.step(1)
    port.connected, port.connections = True, 2
    pump.step(2)
    assert len(port.sent) == 3 and rows.waiting == [1, 2, 3]
    port.ack(2)
    port.ack(2)
    port.ack(999)
    pump.step(3)
    assert rows.waiting == [1, 3] and len(port.sent) == 3


def test_an_acknowledgement_before_the_mid_is_noted():
    pump, _, rows = a_pump(2, answering=True)
    pump.step(0)
    pump.step(0.1)
    assert rows.waiting == []


def test_a_refused_row_backs_off_and_does_not_stop_the_others():
    pump, port, rows = a_pump(2)
    pump.step(0)
    port.ack(1, failed=True)
    port.ack(2)
    pump.step(0.1)
    assert (rows.waiting, rows.failures) == ([1], [1])
    pump.step(1.0)
    assert len(port.sent) == 2
    pump.step(1.2)
    assert len(port.sent) == 3
    port.ack(3, failed=True)
    pump.step(1.3)
    pump.step(3.2)
    assert len(port.sent) == 3
    pump.step(3.4)
    port.ack(4)
    pump.step(3.5)
    assert rows.waiting == []


def test_silence_while_connected_connects_anew_and_sends_again():
    pump, port, _ = a_pump(1)
    pump.step(0)
    assert pump.oldest_unacknowledged_s(5) == 5
    pump.step(STUCK_AFTER_S + 1)
    assert port.restarts == 1 and len(port.sent) == 2


def test_a_reused_mid_is_never_taken_for_another_row():
    pump, port, rows = a_pump(2)
    rows.waiting = [1]
    pump.step(0)
    rows.waiting = [1, 2]
    port.next_mid = 0
    pump.step(1)
    assert port.restarts == 1
    port.ack(1)
    pump.step(2)
    assert rows.waiting == [1, 2] and len(port.sent) == 4


def test_a_client_that_takes_nothing_and_a_store_that_fails():
    pump, port, rows = a_pump(1, refusing=True)
    pump.step(0)
    port.refusing = False
    pump.step(1)
    assert len(port.sent) == 1
    rows.broken = True
    port.ack(1)
    for now in (2.0, 3.0):
        try:
            pump.step(now)
        except StoreError:
            continue
        raise AssertionError("the error is hidden")
    rows.broken = False
    pump.step(4)
    assert rows.waiting == [] and len(port.sent) == 1


def test_retained_topics_newest_wins_once_a_second_and_again_on_connack():
    pump, port, _ = a_pump(0, answering=True)
    for value in range(5):
        pump.retain("s", {"v": value})
        pump.step(value / 10)
    pump.step(1.1)
    assert [json.loads(p)["v"] for _, _, p, retain in port.sent if retain] == [0, 4]
    port.connections = 2
    pump.step(1.2)
    pump.step(1.3)
    assert [json.loads(p)["v"] for _, _, p, _ in port.sent] == [0, 4, 4]


def test_stop_sends_what_waits_and_says_goodbye_last():
    port, rows = FakePort(answering=True), FakeRows(45)
    sender = Sender(port, rows, "run-1", "p/a/status")
    sender.start()
    sender.stop(5)
    assert rows.waiting == [] and port.closed and not sender.alive
    assert json.loads(port.sent[-1][2]) == {"state": "offline", "reason": "shutdown"}


def test_stop_says_goodbye_although_something_stays_unacknowledged():
    port = FakePort()
    sender = Sender(port, FakeRows(30), "run-1", "p/a/status")
    sender.start()
    sender.stop(0.1)
    assert json.loads(port.sent[-1][2])["reason"] == "shutdown" and port.closed


def test_bodies_have_the_fields_of_the_contract():
    step = EventStep("e1", EventKind.ANOMALY, StepType.END, "belt", NOW, "cleared")
    body = event_body(Identity("m", "s", 7), "demo", step, an_inspection(Verdict.ANOMALY))
    assert set(body) == {
        "schema",
        "message_id",
        "stream_id",
        "message_seq",
        "event_id",
        "kind",
        "type",
        "end_reason",
        "agent",
        "line",
        "ts_capture",
        "verdict",
        "reason",
        "margin",
        "score",
        "threshold",
        "z",
        "regions",
        "image",
        "model",
        "profile",
        "latency_ms",
        "context",
    }
    assert (body["end_reason"], body["ts_capture"]) == ("cleared", "2026-01-02T03:04:05.678Z")
    result = result_body(Identity("m", "s", 7), "demo", an_inspection(Verdict.REJECTED))
    assert (result["schema"], result["verdict"], result["reason"]) == ("fbclip.result/1", "rejected", "black")


def test_a_message_is_historical_when_late_or_of_an_earlier_run():
    def historical(seconds: float, run: str) -> bool:
        return stamp({}, NOW + timedelta(seconds=seconds), NOW, run, "run-1")["historical"]

    assert [historical(10, "run-1"), historical(10.1, "run-1"), historical(0, "run-0")] == [False, True, True]
    assert timestamp(NOW) == "2026-01-02T00:00:00.000Z"


def test_json_has_no_nan():
    assert (
        encode({"a": float("nan"), "b": [float("-inf"), 1.5], "c": "ü"}) == '{"a":null,"b":[null,1.5],"c":"ü"}'.encode()
    )
