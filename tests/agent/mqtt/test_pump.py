"""The outbox pump against a client that loses, refuses and reuses."""

import json

from agent.errors import StoreError
from agent.mqtt.pump import HELD_S, RELEASE_S, RELEASES, STUCK_AFTER_S, WINDOW, Pump
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


def test_a_refused_row_is_parked_named_and_tried_again_at_the_next_connection():
    pump, port, rows = a_pump(2)
    pump.step(0)
    port.ack(1, failed=True)
    port.ack(2)
    pump.step(0.1)
    pump.step(500)
    assert (rows.waiting, rows.reasons) == ([1], {1: ("refused: why", False)})
    assert len(port.sent) == 2
    assert pump.problem() == ("1 messages are parked, the broker does not take them; the newest of line belt: why")
    port.connections = 2
    pump.step(501)
    assert len(port.sent) == 3
    port.ack(3)
    pump.step(503)
    assert rows.waiting == [] and pump.problem() is None


def test_a_row_that_does_not_fit_is_parked_and_the_others_go():
    pump, port, rows = a_pump(2, maximum_packet=150)
    rows.bodies[1] = {"message_id": "m1", "context": "x" * 200}
    pump.step(0)
    pump.step(0.1)
    assert [json.loads(payload)["message_id"] for _, _, payload, _ in port.sent] == ["m2"]
    text, held = rows.reasons[1]
    assert "bytes are more than the 150 that the broker takes" in text and not held
    pump.retain("health", {"problems": "x" * 200})
    pump.retain("status", {"state": "online"})
    pump.step(0.2)
    assert [topic for _, topic, _, _ in port.sent] == ["t/event", "status"]


def lose(pump: Pump, port: FakeMqttClient, now: float) -> None:
    port.connections += 1
    pump.step(now)
    pump.step(now + 0.1)


def test_a_row_over_which_connections_end_is_sent_alone_and_then_parked():
    pump, port, rows = a_pump(3)
    pump.step(0)
    port.ack(1)
    for now in (1, 2):
        lose(pump, port, now)
    assert port.restarts == 1 and [mid for mid, *_ in port.sent] == [1, 2, 3, 4]
    assert json.loads(port.sent[3][2])["message_id"] == "m2"
    pump.step(3)
    assert len(port.sent) == 4, "nothing else goes out beside the suspect"
    lose(pump, port, 4)
    assert port.restarts == 2
    assert list(rows.reasons) == [2] and rows.reasons[2][1] and "ends the connection" in rows.reasons[2][0]
    assert json.loads(port.sent[4][2])["message_id"] == "m3"
    port.ack(5)
    lose(pump, port, 5)
    assert rows.waiting == [2] and len(port.sent) == 5, "held back at the next connection, too"
    lose(pump, port, HELD_S + 1)
    assert json.loads(port.sent[5][2])["message_id"] == "m2"


def test_a_bad_network_parks_nothing():
    pump, port, rows = a_pump(2)
    pump.step(0)
    for now in (1, 2):
        lose(pump, port, now)
    port.ack(3)
    pump.step(3)
    lose(pump, port, 4)
    assert rows.waiting == [2] and not rows.reasons
    assert json.loads(port.sent[3][2])["message_id"] == "m2"


def test_a_retained_topic_over_which_connections_end_goes_silent():
    pump, port, _ = a_pump(0)
    pump.retain("health", {"v": "long"})
    pump.step(0)
    for now in (1, 2, 4):
        lose(pump, port, now)
    sent = len(port.sent)
    pump.retain("health", {"v": "longer"})
    pump.step(9)
    assert len(port.sent) == sent
    assert pump.problem() == "retained topic health: the broker ends the connection over it"
    pump.retain("health", {"v": "s"})
    pump.step(11)
    assert len(port.sent) == sent + 1
    port.ack(port.next_mid, failed=True)
    pump.step(12)
    assert pump.problem() == "retained topic health: refused: why"


def test_marking_is_batched_while_there_is_more_to_send():
    pump, port, rows = a_pump(200)
    pump.step(0)
    for mid in range(1, 11):
        port.ack(mid)
    pump.step(0.1)
    assert len(rows.waiting) == 200 and len(port.sent) == WINDOW + 10
    pump.step(0.4)
    assert len(rows.waiting) == 190


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


def test_a_broker_that_hangs_up_over_each_refusal_is_asked_again_only_so_often():
    pump, port, rows = a_pump(4)
    refused = {1, 2, 3}
    answered = 0
    for turn in range(1, 30):
        pump.step(turn)
        for mid, _, payload, _ in port.sent[answered:]:
            failed = int(json.loads(payload)["message_id"][1:]) in refused
            port.ack(mid, failed)
            answered += 1
            if failed:
                # What came with it is lost with the connection, and paho sends it again.
                port.connections += 1
                break
    asked = [json.loads(payload)["message_id"] for _, _, payload, _ in port.sent]
    assert rows.waiting == [1, 2, 3] and all(asked.count(f"m{row}") <= 1 + RELEASES for row in refused)
    port.connections += 1
    pump.step(31)
    sent = len(port.sent)
    pump.step(1 + RELEASE_S)
    assert len(port.sent) == sent + 3
