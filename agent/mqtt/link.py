"""One paho client and what its callbacks have seen.

Callbacks of paho run on its network thread and under its locks: they only put into queues or set plain fields.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from agent.mqtt.interface import Ack, Hear
from agent.mqtt.reasons import (
    SESSION_TAKEN_OVER,
    UNSUPPORTED_VERSION,
    why_hung_up,
    why_lost,
    why_not_dialled,
    why_refused,
    why_silent,
    why_unreachable,
)
from agent.mqtt.target import Target

KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 5
# A connection that is being made; a host may have several addresses, each with its timeout.
DIALLING_S = 6.0
# One that was taken and has no answer. amqtt misreads a version 5 last will and waits for bytes that never come.
SILENCE_S = 4.0
DEFAULT_RECEIVE_MAXIMUM = 65535
NOT_YET = "not connected yet"


class _Dialler(paho.Client):
    """Tells its link when it dials, and why that failed: paho itself drops the error."""

    link: Link | None = None

    def reconnect(self) -> MQTTErrorCode:
        link = self.link
        if link is None:
            return super().reconnect()
        link.dialling_since = time.monotonic()
        try:
            return super().reconnect()
        except OSError as error:
            link.problem = f"{link.where}: {why_unreachable(link.host, error)}"
            raise
        except UnicodeError as error:
            link.problem = f"{link.where}: {why_unreachable(link.host, error)}"
            # Of a host name that is none: paho's thread would die of it.
            raise OSError(str(error)) from error
        finally:
            link.dialling_since = None


@dataclass(frozen=True)
class Lost:
    """A connection that ended. `useful`: the broker answered a message on it; `refused`: with a no; `taken_over`: by
    another client."""

    lived_s: float
    useful: bool
    taken_over: bool
    refused: bool = False


class Link:
    """A restarted client gets a new one, so that what an old one still has to say is lost."""

    def __init__(
        self, target: Target, *, v5: bool, wake: Callable[[], None], pause: Callable[[Lost | None], float], problem: str
    ) -> None:
        """`pause` gives the seconds before the next try; it is told of the connection that was lost, if there was one.

        `problem`: what was wrong before.
        """
        self.where = target.where
        self.host = target.host
        self.v5 = v5
        self.acks: deque[Ack] = deque()
        self.connected = False
        self.connections = 0
        self.drops = 0
        self.dialling_since: float | None = None
        self.asked_at: float | None = None
        self.refused_version = False
        self.connected_at = 0.0
        self.lost = False
        self.receive_maximum = DEFAULT_RECEIVE_MAXIMUM
        self.maximum_packet: int | None = None
        self.deaf: str | None = None
        self.problem = problem
        self._secure = target.tls is not None
        self._wake = wake
        self._pause = pause
        self._useful = self._said_no = False
        self._refused = False
        self._closing = False
        self._deafened = False
        self._ears: tuple[str, Hear] | None = None
        self._client = self._make(target)

    def listen(self, ears: tuple[str, Hear] | None) -> None:
        """Before `open`: what to subscribe to, and who hears it."""
        self._ears = ears

    def deafen(self) -> None:
        """Ask the broker for no more messages; those on their way are still heard."""
        self._deafened = True
        if self._ears is not None:
            self._client.unsubscribe(self._ears[0])

    def open(self, host: str, port: int) -> None:
        """Begin to connect and keep trying."""
        self._client.connect_async(host, port, KEEPALIVE_S)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, retain: bool) -> paho.MQTTMessageInfo:
        return self._client.publish(topic, payload, qos=1, retain=retain)

    def close(self) -> None:
        self._closing = True
        # loop_stop alone would wait for every unacknowledged message.
        self._client.disconnect()
        self._client.loop_stop()

    def silent(self, now: float) -> bool:
        """The broker took the connection and does not answer."""
        asked_at = self.asked_at
        return asked_at is not None and now - asked_at > SILENCE_S

    def why_not(self, now: float) -> str | None:
        """Why there is no connection; None while there is one."""
        if self.connected:
            return None
        dialling_since = self.dialling_since
        if dialling_since is not None and now - dialling_since > DIALLING_S:
            return f"{self.where}: {why_not_dialled(DIALLING_S)}"
        if self.silent(now):
            return f"{self.where}: {why_silent(SILENCE_S)}"
        return self.problem

    def _make(self, target: Target) -> paho.Client:
        version = MQTTProtocolVersion.MQTTv5 if self.v5 else MQTTProtocolVersion.MQTTv311
        client = _Dialler(CallbackAPIVersion.VERSION2, client_id=target.client_id, protocol=version)
        client.link = self
        client.suppress_exceptions = True
        client.connect_timeout = CONNECT_TIMEOUT_S
        # The sender keeps its own, smaller window; paho must never hold back on its own account.
        client.max_inflight_messages_set(DEFAULT_RECEIVE_MAXIMUM)
        client.will_set(target.will_topic, target.will, qos=1, retain=True)
        if target.username is not None:
            client.username_pw_set(target.username, target.password)
        if target.tls is not None:
            client.tls_set_context(target.tls)
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        client.on_publish = self._on_publish
        return client

    def _on_socket_open(self, _c: Any, _u: Any, _s: Any) -> None:
        self._refused = False
        self.asked_at = time.monotonic()

    def _on_connect(self, client: Any, _u: Any, _f: Any, code: Any, properties: Any) -> None:
        self.asked_at = None
        if code.is_failure:
            self._refused = True
            self.problem = f"{self.where}: {why_refused(str(code))}"
            self.refused_version = str(code) == UNSUPPORTED_VERSION
            return
        self.receive_maximum = getattr(properties, "ReceiveMaximum", DEFAULT_RECEIVE_MAXIMUM)
        self.maximum_packet = getattr(properties, "MaximumPacketSize", None)
        self.drops = 0
        self.deaf = None
        self._useful = self._said_no = self.lost = False
        self.connected_at = time.monotonic()
        self.connections += 1
        self.connected = True
        if self._ears is not None and not self._deafened:
            client.subscribe(self._ears[0], qos=1)
        self._wake()

    def _on_subscribe(self, _c: Any, _u: Any, _mid: int, codes: Any, _p: Any) -> None:
        refused = next((code for code in codes if code.is_failure), None)
        if refused is not None and self._ears is not None:
            self.deaf = f"commands are not heard: the broker refuses {self._ears[0]}: {refused}"

    def _on_disconnect(self, client: Any, _u: Any, _f: Any, code: Any, _p: Any) -> None:
        lost = None
        if self.connected:
            self.problem = f"{self.where}: {why_lost(str(code))}"
            self.lost = True
            lived_s, taken_over = time.monotonic() - self.connected_at, str(code) == SESSION_TAKEN_OVER
            lost = Lost(lived_s, self._useful, taken_over, self._said_no)
        elif not self._refused:
            self.problem = f"{self.where}: {why_hung_up(self._secure)}"
            self.lost = False
            self.drops += self.connections == 0
        self.connected, self.asked_at = False, None
        self._wait_before_next(client, lost)

    def _on_connect_fail(self, client: Any, _u: Any) -> None:
        self.lost = False
        self._wait_before_next(client, None)

    def _wait_before_next(self, client: Any, lost: Lost | None) -> None:
        if not self._closing:
            delay = self._pause(lost)
            client.reconnect_delay_set(delay, delay)

    def _on_publish(self, _c: Any, _u: Any, mid: int, code: Any, _p: Any) -> None:
        self._useful, self._said_no = True, self._said_no or bool(code.is_failure)
        self.acks.append(Ack(mid, bool(code.is_failure), str(code)))
        self._wake()

    def _on_message(self, _c: Any, _u: Any, message: Any) -> None:
        if self._ears is not None:
            self._ears[1](message.topic, bytes(message.payload), bool(message.retain))
