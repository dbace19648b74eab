"""The outbox pump: rows to the broker, marked sent on PUBACK only, parked where the broker does not take them.

paho keeps what it was handed over across reconnects, so a row is handed over once per connection object and
then only awaited. Whatever may have been lost is sent again under the same message_id.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from agent.errors import MqttError
from agent.mqtt.fitting import fitted, packet_size
from agent.mqtt.interface import MqttClient
from agent.mqtt.outcomes import MarkedRows, Outcomes
from agent.mqtt.payloads import stamp
from agent.mqtt.retained import Retained
from agent.mqtt.suspicion import Key, Suspicion
from agent.mqtt.turns import Turns, WaitingRows

log = logging.getLogger(__name__)
WINDOW = 20
# What a broker refuses is tried again at the next connection, so often in so long: some brokers hang up over each
# refusal, and the same rows, tried again each time, would end one connection after the other.
RELEASES = 3
RELEASE_S = 60.0
# A row that ends connections is tried again at the first connection after so long, and in a new run.
HELD_S = 3600.0
# Longer than two keepalives: paho itself would have noticed a dead connection by then.
STUCK_AFTER_S = 75.0


class OutboxRows(WaitingRows, MarkedRows, Protocol):
    """The part of the outbox that the pump needs."""


@dataclass(frozen=True)
class _Packet:
    """What is published. `since`: when it was handed over, monotonic s."""

    key: Key
    topic: str
    payload: bytes
    since: float


class Pump:
    """The steps of the sender, without thread or clock. One thread calls `step`; `retain` may come from any."""

    def __init__(self, client: MqttClient, rows: OutboxRows, run: str) -> None:
        self._client = client
        self._run = run
        self._retained = Retained()
        self._suspicion = Suspicion()
        self._turns = Turns(rows)
        self._outcomes = Outcomes(rows)
        self._handed: dict[int, _Packet] = {}
        self._connections = 0
        self._held_released: float | None = None
        self._released: deque[float] = deque(maxlen=RELEASES)
        self._release_at: float | None = None
        self._alone: _Packet | None = None

    def retain(self, topic: str, body: Mapping[str, Any]) -> None:
        """Set what a retained topic says; the newest wins, at most one publish a second."""
        self._retained.set(topic, body)

    def retain_bytes(self, topic: str, payload: bytes) -> None:
        """As `retain`, with a payload that is no JSON; an empty one takes away what the broker keeps."""
        self._retained.set_bytes(topic, payload)

    def step(self, now: float) -> None:
        """One turn at `now` (monotonic s). Raises StoreError if the outbox cannot be read or marked."""
        self._client.service(idle=not self._handed)
        self._take_acks(now)
        if any(now - packet.since > STUCK_AFTER_S for packet in self._handed.values()) and self._client.connected:
            log.warning("no acknowledgement for %.0f s: connecting anew", STUCK_AFTER_S)
            self._suspicion.reset()
            self._restart()
        self._outcomes.record(now, more=self._turns.more and self._client.connected)
        if self._client.connected and self._client.connections != self._connections:
            self._connected_anew(now)
        # A connection that is not noted yet is the next turn's: what is lost with it must be known.
        if not self._client.connected or self._client.connections != self._connections:
            return
        if self._suspicion.accused is not None:
            self._send_alone(now)
            return
        self._release(now)
        self._send_retained(now)
        self._send_rows(now)

    def look_again(self) -> None:
        """Something new was committed; any thread may call it."""
        self._turns.look_again()

    def on_their_way(self) -> set[int]:
        """Rows that the client has, or that are about to be handed over or marked."""
        return self._handed_ids() | self._outcomes.ids | self._turns.ids

    def oldest_unacknowledged_s(self, now: float) -> float:
        """How long the oldest message handed over has waited for its PUBACK, seconds; 0 if none waits."""
        return max((now - packet.since for packet in self._handed.copy().values()), default=0.0)

    def problem(self) -> str | None:
        """What the broker does not take, one line; any thread may ask."""
        parked = self._outcomes.parked
        if parked.count:
            newest = f"the newest of line {parked.line}: {parked.reason}"
            return f"{parked.count} messages are parked, the broker does not take them; {newest}"
        return self._retained.problem()

    def publish_offline(self, topic: str, body: Mapping[str, Any], now: float) -> None:
        """Publish the last word on a retained topic at once, past window and rate."""
        payload = self._retained.only(topic, body)
        if self._client.connected:
            self._hand_over(_Packet(topic, topic, payload, now))

    @property
    def idle(self) -> bool:
        """Nothing waits for a PUBACK or to be marked, and every retained topic is out."""
        return not self._handed and self._outcomes.settled and self._retained.settled

    def _take_acks(self, now: float) -> None:
        for ack in self._client.acks():
            packet = self._handed.pop(ack.mid, None)
            if packet is None:
                continue
            self._suspicion.answered(packet.key)
            if isinstance(packet.key, str):
                self._retained.answered(packet.key, f"refused: {ack.reason}" if ack.failed else None)
            elif ack.failed:
                self._outcomes.refused(packet.key, f"refused: {ack.reason}")
            else:
                self._outcomes.sent(packet.key, now)

    def _connected_anew(self, now: float) -> None:
        full = len(self._released) == RELEASES
        self._release_at = max(now, self._released[0] + RELEASE_S) if full else now
        self._release(now)
        self._connections = self._client.connections
        # Time without a connection is not time without an answer.
        self._handed = {mid: replace(packet, since=now) for mid, packet in self._handed.items()}
        self._retained.all_due()
        oldest = next(iter(self._handed.values()), None)
        if oldest is None:
            return
        guilty = self._suspicion.lost(oldest.key)
        if guilty is not None:
            self._hold(oldest)
        elif self._suspicion.accused is not None:
            self._alone = oldest
        else:
            return
        # The client would send it again by itself, together with all the others.
        self._restart()

    def _release(self, now: float) -> None:
        """Parked rows wait again, once after a connection."""
        if self._release_at is None or now < self._release_at:
            return
        held = self._held_released is None or now - self._held_released >= HELD_S
        self._outcomes.release(held, now)
        self._turns.look_again()
        self._held_released = now if held else self._held_released
        self._released.append(now)
        self._release_at = None

    def _hold(self, packet: _Packet) -> None:
        if isinstance(packet.key, str):
            self._retained.ends_connection(packet.key, len(packet.payload))
        else:
            size = packet_size(packet.topic, packet.payload)
            self._outcomes.refused(packet.key, f"the broker ends the connection over it ({size} bytes)", held=True)

    def _send_alone(self, now: float) -> None:
        if not self._handed and self._alone is not None:
            self._hand_over(replace(self._alone, since=now))

    @property
    def _room(self) -> int:
        return min(WINDOW, self._client.receive_maximum) - len(self._handed)

    def _send_retained(self, now: float) -> None:
        for topic in self._retained.due(now):
            if self._room <= 0:
                return
            payload = self._retained.take(topic, now)
            if payload is None:
                continue
            if self._too_large(topic, payload):
                self._retained.answered(topic, self._size_problem(topic, payload))
            elif not self._hand_over(_Packet(topic, topic, payload, now)):
                self._retained.put_back(topic)
                return

    def _send_rows(self, now: float) -> None:
        while self._room > 0:
            message = self._turns.next(self._handed_ids() | self._outcomes.ids, now)
            if message is None:
                return
            body = stamp(message.body, datetime.now(UTC), message.committed, message.run, self._run)
            payload = fitted(message.topic, body, self._client.maximum_packet)
            if self._too_large(message.topic, payload):
                self._outcomes.refused(message.id, self._size_problem(message.topic, payload))
            elif not self._hand_over(_Packet(message.id, message.topic, payload, now)):
                return
            self._turns.sent()

    def _handed_ids(self) -> set[int]:
        return {packet.key for packet in self._handed.values() if isinstance(packet.key, int)}

    def _too_large(self, topic: str, payload: bytes) -> bool:
        most = self._client.maximum_packet
        return most is not None and packet_size(topic, payload) > most

    def _size_problem(self, topic: str, payload: bytes) -> str:
        size = packet_size(topic, payload)
        return f"{size} bytes are more than the {self._client.maximum_packet} that the broker takes"

    def _hand_over(self, packet: _Packet) -> bool:
        try:
            mid = self._client.publish(packet.topic, packet.payload, retain=isinstance(packet.key, str))
        except MqttError as error:
            log.warning("%s", error)
            return False
        if mid in self._handed:
            # Mids wrap. Two messages under one mid cannot be told apart by their PUBACK: send both again.
            self._restart()
            return False
        self._handed[mid] = packet
        return True

    def _restart(self) -> None:
        self._handed.clear()
        self._turns.forget()
        self._client.restart()
