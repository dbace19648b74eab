"""The thread that sends: it steps the pump until it is stopped, then drains it and says offline."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from agent.errors import StoreError
from agent.heartbeat import Heartbeat
from agent.mqtt.bounds import Bounds
from agent.mqtt.interface import MqttClient
from agent.mqtt.pump import OutboxRows, Pump

log = logging.getLogger(__name__)
POLL_S = 0.2
OFFLINE_S = 1.0
SLOW_S = 30.0
DEAD_S = 120.0


class Sender:
    """A thread around the pump."""

    def __init__(
        self,
        client: MqttClient,
        rows: OutboxRows,
        run: str,
        status_topic: str,
        clock: Callable[[], float] = time.monotonic,
        bounds: Bounds | None = None,
    ) -> None:
        """`bounds` keep the outbox within its limits; without, it grows as it must."""
        self._client = client
        self._pump = Pump(client, rows, run)
        self._bounds = bounds
        self._status_topic = status_topic
        self._clock = clock
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self.heartbeat = Heartbeat("the sender", SLOW_S, DEAD_S, clock)
        self._thread = self._new_thread()
        self._store_problem: str | None = None
        client.notify(self._wake.set)

    def start(self) -> None:
        """Connect in the background and announce the agent as online."""
        self._pump.retain(self._status_topic, {"state": "online"})
        self._client.connect()
        self.revive()

    def revive(self) -> None:
        """Start the thread, also after it died of an error: what it had not sent is still in the outbox."""
        self.heartbeat.beat()
        if self._thread.ident is not None:
            self._thread = self._new_thread()
        self._thread.start()

    def wake(self) -> None:
        """There is something new to send."""
        self._pump.look_again()
        self._wake.set()

    def retain(self, topic: str, body: Mapping[str, Any]) -> None:
        """Set what a retained topic says; published at most once a second and again at every CONNACK."""
        self._pump.retain(topic, body)

    def retain_bytes(self, topic: str, payload: bytes) -> None:
        """As `retain`, with a payload that is no JSON; an empty one takes away what the broker keeps."""
        self._pump.retain_bytes(topic, payload)

    def problem(self) -> str | None:
        """Why nothing goes out, or what does not, one line; None if all is well."""
        given_up = None if self._bounds is None else self._bounds.problem()
        found = (self._store_problem, self._client.problem(), self._pump.problem(), given_up)
        return "; ".join(text for text in found if text) or None

    def notes(self) -> tuple[str, ...]:
        """What to know although all is well, one line each."""
        return (*self._client.notes(), *(() if self._bounds is None else self._bounds.notes()))

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def oldest_unacknowledged_s(self) -> float:
        """Seconds that the oldest message handed over has waited for its PUBACK."""
        return self._pump.oldest_unacknowledged_s(self._clock())

    def stop(self, timeout: float) -> None:
        """Send what waits, then say offline "shutdown" and disconnect; at most `timeout` seconds and a little."""
        self._deadline = self._clock() + timeout
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout + OFFLINE_S)
        self._client.close()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._loop, name="mqtt-sender", daemon=True)

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._turn()
            self._wake.wait(POLL_S)
            self._wake.clear()
        self._drain()

    def _turn(self) -> None:
        self.heartbeat.beat()
        try:
            self._pump.step(self._clock())
            if self._bounds is not None and self._bounds.step(self._clock(), self._pump.on_their_way):
                self.wake()
            self._store_problem = None
        except StoreError as error:
            if self._store_problem is None:
                log.error("the outbox cannot be used: %s", error)
            self._store_problem = str(error)

    def _drain(self) -> None:
        self._settle(self._deadline)
        # Even if something else stays unacknowledged: a clean disconnect takes the last will with it.
        self._pump.publish_offline(self._status_topic, {"state": "offline", "reason": "shutdown"}, self._clock())
        self._settle(max(self._deadline, self._clock() + OFFLINE_S))

    def _settle(self, deadline: float) -> None:
        while self._client.connected and self._clock() < deadline:
            self._turn()
            if self._pump.idle:
                return
            self._wake.wait(POLL_S)
            self._wake.clear()
