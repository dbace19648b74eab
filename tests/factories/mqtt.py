"""The agent's client, and a subscriber that hears it."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.config.services import MqttSection
from agent.mqtt.client import PahoClient
from agent.mqtt.payloads import Topics, encode

TOPICS = Topics("fbclip", "demo")
LWT = encode({"state": "offline", "reason": "lwt"})


class Listener:
    """A subscriber, of everything unless told; `messages` are (topic, body, retained)."""

    def __init__(self, port: int, topics: str = "fbclip/#") -> None:
        self.messages: queue.Queue[tuple[str, dict, bool]] = queue.Queue()
        subscribed: queue.Queue[bool] = queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda c, *_: c.subscribe(topics, qos=1)
        self.client.on_subscribe = lambda *_: subscribed.put(True)
        self.client.on_message = lambda _c, _u, m: self.messages.put((m.topic, json.loads(m.payload), m.retain))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        subscribed.get(timeout=10)

    def until(self, topic: str, **fields) -> dict:
        """The next message on the topic that has these fields."""
        while True:
            found, body, _ = self.messages.get(timeout=15)
            if found == topic and fields.items() <= body.items():
                return body

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def listening(port: int) -> Iterator[Listener]:
    listener = Listener(port)
    try:
        yield listener
    finally:
        listener.close()


def a_client(port: int, **more) -> PahoClient:
    return PahoClient(MqttSection(url=f"mqtt://127.0.0.1:{port}", **more), "demo", TOPICS.status, LWT)
