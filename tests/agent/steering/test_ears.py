"""Commands over a real broker: heard, followed, answered; retained and oversize ones are not followed."""

import json
import queue

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.config.services import MqttSection
from agent.mqtt.client import PahoClient
from agent.mqtt.payloads import Topics
from agent.mqtt.sender import Sender
from agent.steering.ears import MqttEars
from agent.store.outbox import Outbox
from tests.factories.brokers import mosquitto, wait_until
from tests.factories.lineups import write_profile_of
from tests.factories.steering import steered, write_config

__all__ = ["mosquitto"]
TOPICS = Topics("fbclip", "demo")


class Operator:
    """A client of its own that gives commands and hears the answers."""

    def __init__(self, port: int) -> None:
        self.answers: queue.Queue[dict] = queue.Queue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="operator")
        self._client.on_message = lambda _c, _u, message: self.answers.put(json.loads(message.payload))
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(TOPICS.answer, qos=1)
        self._client.loop_start()

    def say(self, verb: str, payload: bytes, retain: bool = False) -> None:
        self._client.publish(f"{TOPICS.root}/cmd/{verb}", payload, qos=1, retain=retain).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def agent(detector, tmp_path):
    write_profile_of(detector, tmp_path, "belt", threshold=4.0)
    with steered(detector, write_config(tmp_path, {"name": "belt"})) as agent:
        yield agent


def test_a_command_is_heard_followed_and_answered(mosquitto, agent):
    broker = mosquitto()
    operator = Operator(broker.port)
    operator.say("threshold", b'{"line": "belt", "threshold": 1.0}', retain=True)
    client = PahoClient(MqttSection(url=f"mqtt://127.0.0.1:{broker.port}"), "demo", TOPICS.status, b"{}")
    sender = Sender(client, Outbox(agent.database), "run-1", TOPICS.status)
    client.listen(TOPICS.commands, MqttEars(TOPICS, agent.steward, agent.writer, sender.wake).hear)
    agent.steward.start()
    sender.start()
    try:
        wait_until(lambda: client.connected)
        operator.say("threshold", b'{"line": "belt", "threshold": 2.5, "by": "ann", "correlation_id": "a"}')
        operator.say("threshold", b'{"line": "belt", "threshold": "x", "correlation_id": "b"}')
        operator.say("reload", b" " * 100_000)
        answers = [operator.answers.get(timeout=15) for _ in range(3)]
    finally:
        agent.steward.stop(5)
        sender.stop(1)
        operator.close()
    assert [answer["correlation_id"] for answer in answers] == ["a", "b", None]
    assert [answer["ok"] for answer in answers] == [True, False, False]
    assert answers[0]["schema"] == "fbclip.answer/1"
    assert (answers[0]["agent"], answers[0]["verb"]) == ("demo", "threshold")
    assert answers[0]["text"] == "line belt: profile (guarantee: none (by hand))"
    assert "message_id" in answers[0]
    assert "larger than" in answers[2]["text"]
    # The retained one, which the broker repeats at each connection, was not followed.
    assert [(entry.origin, entry.by) for entry in agent.audit.entries()] == [("mqtt", "ann")]
    assert agent.lineup.lines["belt"].loaded.profile.threshold == 2.5
