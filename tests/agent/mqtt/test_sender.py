"""The thread around the pump: the last word is said last, whatever stays unacknowledged."""

import json

from agent.mqtt.sender import Sender
from tests.factories.agent import FakeMqttClient, FakeRows


def test_stop_sends_what_waits_and_says_goodbye_last():
    port, rows = FakeMqttClient(answering=True), FakeRows(45)
    sender = Sender(port, rows, "run-1", "p/a/status")
    sender.start()
    sender.stop(5)
    assert rows.waiting == [] and port.closed and not sender.alive
    assert json.loads(port.sent[-1][2]) == {"state": "offline", "reason": "shutdown"}


def test_stop_says_goodbye_although_something_stays_unacknowledged():
    port = FakeMqttClient()
    sender = Sender(port, FakeRows(30), "run-1", "p/a/status")
    sender.start()
    sender.stop(0.1)
    assert json.loads(port.sent[-1][2])["reason"] == "shutdown" and port.closed
