"""What the retained topics say and which of them are due: the newest wins, at most one publish of each a second."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from agent.mqtt.payloads import encode

RETAINED_PERIOD_S = 1.0


class Retained:
    """`set` may come from any thread, everything else from the sender's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._payloads: dict[str, bytes] = {}
        self._dirty: set[str] = set()
        self._published_at: dict[str, float] = {}
        self._problems: dict[str, str] = {}
        self._ends_connection: dict[str, int] = {}

    def set(self, topic: str, body: Mapping[str, Any]) -> None:
        """Say this on the topic."""
        self.set_bytes(topic, encode(body))

    def set_bytes(self, topic: str, payload: bytes) -> None:
        """As `set`, with a payload that is no JSON; an empty one takes away what the broker keeps."""
        with self._lock:
            if self._payloads.get(topic) == payload:
                # The broker has it, or will get it: every CONNACK makes all topics due again.
                return
            self._payloads[topic] = payload
            self._dirty.add(topic)

    def only(self, topic: str, body: Mapping[str, Any]) -> bytes:
        """Forget all topics but this one, which is not due; returns its payload."""
        with self._lock:
            self._payloads = {topic: encode(body)}
            self._dirty.clear()
            return self._payloads[topic]

    def all_due(self) -> None:
        """At a CONNACK: another broker may know nothing of what was said before."""
        with self._lock:
            self._dirty = set(self._payloads)
            self._published_at.clear()

    def due(self, now: float) -> tuple[str, ...]:
        with self._lock:
            late = now - RETAINED_PERIOD_S
            return tuple(sorted(t for t in self._dirty if self._published_at.get(t, late) <= late))

    def take(self, topic: str, now: float) -> bytes | None:
        """What to publish on a topic that is due; None for what has ended a connection before."""
        with self._lock:
            self._dirty.discard(topic)
            self._published_at[topic] = now
            payload = self._payloads[topic]
            return None if len(payload) >= self._ends_connection.get(topic, len(payload) + 1) else payload

    def put_back(self, topic: str) -> None:
        """It was taken, but the client did not take it."""
        with self._lock:
            self._dirty.add(topic)

    def answered(self, topic: str, problem: str | None) -> None:
        """What the broker said to it; None if all is well."""
        if problem is None:
            self._problems.pop(topic, None)
        else:
            self._problems[topic] = problem

    def ends_connection(self, topic: str, size: int) -> None:
        """The broker hangs up on a payload of that size: only shorter ones are tried again."""
        self._ends_connection[topic] = size
        self._problems[topic] = "the broker ends the connection over it"

    @property
    def settled(self) -> bool:
        """Every topic is out."""
        with self._lock:
            return not self._dirty

    def problem(self) -> str | None:
        """One of the topics that the broker does not take; any thread may ask."""
        problems = self._problems.copy()
        return next((f"retained topic {topic}: {text}" for topic, text in sorted(problems.items())), None)
