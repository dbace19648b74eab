"""A real mosquitto that keeps what it has taken over a restart, and a listener whose session outlives it.

So what the broker acknowledged, the listener hears: a message that is missing in the end was lost by the agent.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.factories.brokers import Mosquitto, accepts, free_port, wait_until

ANYONE = ("allow_anonymous true",)


class Broker(Mosquitto):
    """On a free port of loopback; its files lie in `folder`."""

    def __init__(self, folder: Path, extra: Sequence[str]) -> None:
        binary = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if binary is None:
            pytest.skip("mosquitto is not installed")
        folder.mkdir(parents=True)
        port = free_port()
        lines = [f"listener {port} 127.0.0.1", "persistence true", f"persistence_location {folder}/", *extra]
        lines += ["max_queued_messages 0", "max_queued_bytes 0", "log_type none"]
        if os.geteuid() == 0:
            lines.append("user root")
        config = folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        super().__init__(binary, config, port)
        self.stops = 0

    @property
    def running(self) -> bool:
        return self.process is not None

    def start(self) -> None:
        if self.process is None:
            self.process = subprocess.Popen(
                [self.binary, "-c", str(self.config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            wait_until(lambda: accepts(self.port))

    def stop(self) -> None:
        """In order, so that it writes down what its listeners have not heard yet."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(20)
            self.process = None
            self.stops += 1

    def freeze(self) -> None:
        """It accepts connections, by the kernel's hand, and never answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


class Ear:
    """Everything below `fbclip/#` that is an event, a result or the answer to a command, in the order heard."""

    def __init__(self, port: int) -> None:
        self.heard: list[dict[str, Any]] = []
        self.retained: dict[str, dict[str, Any]] = {}
        self._subscribed = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, "ear", protocol=MQTTProtocolVersion.MQTTv311, clean_session=False
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("fbclip/#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._hear
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(15), "the listener cannot subscribe"

    def _hear(self, _client: Any, _data: Any, message: Any) -> None:
        body = json.loads(message.payload)
        if message.topic.endswith(("/event", "/result", "/demo/answer")):
            self.heard.append({**body, "topic": message.topic, "at": time.monotonic()})
        else:
            self.retained[message.topic] = body

    def say(self, topic: str, bodies: Sequence[Any]) -> None:
        """Publish them as fast as it goes; the broker has taken them all when this returns."""
        wait_until(self._client.is_connected, 30)
        for sent in [self._client.publish(topic, json.dumps(body), qos=1) for body in bodies]:
            sent.wait_for_publish(30)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
