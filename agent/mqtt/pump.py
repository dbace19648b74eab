"""The outbox pump: rows to the broker, marked sent on PUBACK only; retained topics with the newest winning.

paho keeps what it was handed over across reconnects, so a row is handed over once per connection object and
then only awaited. Whatever may have been lost is sent again under the same message_id.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from agent.errors import MqttError
from agent.mqtt.client import MqttClient
from agent.mqtt.payloads import encode, message_bytes
from agent.records import Message

log = logging.getLogger(__name__)
WINDOW = 20
RETAINED_PERIOD_S = 1.0
BACKOFF_MIN_S = 1.0
BACKOFF_MAX_S = 60.0
# Longer than two keepalives: paho itself would have noticed a dead connection by then.
STUCK_AFTER_S = 75.0
# More refused rows than this and the pump waits for the first of them instead of looking past them.
MOST_REFUSED = 1000


class OutboxRows(Protocol):
    """The part of the outbox that the pump needs."""

    def pending(self, limit: int, exclude_ids: Collection[int] = ()) -> tuple[Message, ...]: ...

    def mark_sent(self, ids: Collection[int]) -> None: ...

    def mark_failed(self, ids: Collection[int]) -> None: ...


@dataclass(frozen=True)
class _Handed:
    """What waits for its PUBACK: an outbox row, or a retained topic (`row_id` None). `since` in monotonic s."""

    row_id: int | None
    since: float


@dataclass(frozen=True)
class _Refused:
    """A row that the broker did not take: tried again at `at` (monotonic s), then after `delay` seconds."""

    at: float
    delay: float


class Pump:
    """The steps of the sender, without thread or clock. One thread calls `step`; `retain` may come from any."""

    def __init__(self, client: MqttClient, rows: OutboxRows, run: str) -> None:
        self._client = client
        self._rows = rows
        self._run = run
        self._handed: dict[int, _Handed] = {}
        self._refused: dict[int, _Refused] = {}
        self._unmarked: set[int] = set()
        self._lock = threading.Lock()
        self._retained: dict[str, bytes] = {}
        self._dirty: set[str] = set()
        self._published_at: dict[str, float] = {}
        self._connections = 0

    def retain(self, topic: str, body: Mapping[str, Any]) -> None:
        """Set what a retained topic says; the newest wins, at most one publish a second."""
        payload = encode(body)
        with self._lock:
            if self._retained.get(topic) == payload:
                # The broker has it, or will get it: every CONNACK makes all topics due again.
                return
            self._retained[topic] = payload
            self._dirty.add(topic)

    def step(self, now: float) -> None:
        """One turn at `now` (monotonic s). Raises StoreError if the outbox cannot be read or marked."""
        self._client.service()
        self._take_acks(now)
        if any(now - handed.since > STUCK_AFTER_S for handed in self._handed.values()) and self._client.connected:
            log.warning("no acknowledgement for %.0f s: connecting anew", STUCK_AFTER_S)
            self._restart()
        if not self._client.connected:
            return
        if self._client.connections != self._connections:
            self._connections = self._client.connections
            # Time without a connection is not time without an answer.
            self._handed = {mid: _Handed(h.row_id, now) for mid, h in self._handed.items()}
            with self._lock:
                self._dirty = set(self._retained)
                self._published_at.clear()
        self._send_retained(now)
        self._send_rows(now)

    def oldest_unacknowledged_s(self, now: float) -> float:
        """How long the oldest message handed over has waited for its PUBACK, seconds; 0 if none waits."""
        return max((now - handed.since for handed in self._handed.copy().values()), default=0.0)

    def publish_offline(self, topic: str, body: Mapping[str, Any], now: float) -> None:
        """Publish the last word on a retained topic at once, past window and rate."""
        with self._lock:
            self._retained = {topic: encode(body)}
            self._dirty.clear()
        if self._client.connected:
            self._hand_over(topic, self._retained[topic], retain=True, row_id=None, now=now)

    @property
    def idle(self) -> bool:
        """Nothing waits for a PUBACK and every retained topic is out."""
        with self._lock:
            return not self._handed and not self._dirty

    def _take_acks(self, now: float) -> None:
        failed: set[int] = set()
        for ack in self._client.acks():
            handed = self._handed.pop(ack.mid, None)
            if handed is None or handed.row_id is None:
                continue
            if ack.failed:
                before = self._refused.get(handed.row_id)
                delay = BACKOFF_MIN_S if before is None else min(2 * before.delay, BACKOFF_MAX_S)
                self._refused[handed.row_id] = _Refused(now + delay, delay)
                failed.add(handed.row_id)
                log.warning("the broker refused message row %d: %s", handed.row_id, ack.reason)
            else:
                self._refused.pop(handed.row_id, None)
                # Kept until the store took it: an error there must not send the row again.
                self._unmarked.add(handed.row_id)
        self._rows.mark_failed(failed)
        self._rows.mark_sent(self._unmarked)
        self._unmarked.clear()

    @property
    def _room(self) -> int:
        return min(WINDOW, self._client.receive_maximum) - len(self._handed)

    def _send_retained(self, now: float) -> None:
        with self._lock:
            due = [t for t in self._dirty if now - self._published_at.get(t, -RETAINED_PERIOD_S) >= RETAINED_PERIOD_S]
        for topic in sorted(due):
            if self._room <= 0:
                return
            with self._lock:
                payload = self._retained[topic]
                self._dirty.discard(topic)
            self._published_at[topic] = now
            if not self._hand_over(topic, payload, retain=True, row_id=None, now=now):
                with self._lock:
                    self._dirty.add(topic)
                return

    def _send_rows(self, now: float) -> None:
        waiting = {row_id for row_id, refused in self._refused.items() if refused.at > now}
        if self._room <= 0 or len(waiting) >= MOST_REFUSED:
            return
        handed = {h.row_id for h in self._handed.values() if h.row_id is not None}
        for message in self._rows.pending(self._room, handed | waiting):
            payload = message_bytes(message, datetime.now(UTC), self._run)
            if not self._hand_over(message.topic, payload, retain=False, row_id=message.id, now=now):
                return

    def _hand_over(self, topic: str, payload: bytes, *, retain: bool, row_id: int | None, now: float) -> bool:
        try:
            mid = self._client.publish(topic, payload, retain)
        except MqttError as error:
            log.warning("%s", error)
            return False
        if mid in self._handed:
            # Mids wrap. Two messages under one mid cannot be told apart by their PUBACK: send both again.
            self._restart()
            return False
        self._handed[mid] = _Handed(row_id, now)
        return True

    def _restart(self) -> None:
        self._handed.clear()
        self._client.restart()
