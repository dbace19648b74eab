"""The outbox pump against a client that loses, refuses and reuses."""

import json

from agent.errors import StoreError
from agent.mqtt.pump import STUCK_AFTER_S, WINDOW, Pump
from tests.factories.agent import FakeMqttClient, FakeRows


def a_pump(count: int, **port) -> tuple[Pump, FakeMqttClient, FakeRows]:
    fake, rows = FakeMqttClient(**port), FakeRows(count)
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
