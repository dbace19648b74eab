"""paho behind a small protocol: MQTT 5 first, 3.1.1 for a broker that does not speak it.

Callbacks of paho run on its network thread and under its locks: they only put into queues or set plain fields.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from agent.config.services import MqttSection
from agent.errors import MqttError

log = logging.getLogger(__name__)
KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 5
RECONNECT_MIN_S = 1
RECONNECT_MAX_S = 60
DEFAULT_RECEIVE_MAXIMUM = 65535
# A broker without MQTT 5 may hang up instead of answering; once may also be a restart.
DROPS_BEFORE_FALLBACK = 2
# amqtt misreads a version 5 last will and waits for bytes that never come.
SILENCE_BEFORE_FALLBACK_S = 4.0
# A broker that was only slow, or starting, speaks version 5 after all. Each try costs a connection: ever rarer.
RETRY_V5_S = 60.0
RETRY_V5_FACTOR = 4


Hear = Callable[[str, bytes, bool], None]
"""Topic, payload, and whether it is a retained message of before."""


@dataclass(frozen=True)
class Ack:
    """A PUBACK; `failed` if its reason code says that the broker did not take the message."""

    mid: int
    failed: bool
    reason: str


class MqttClient(Protocol):
    """What the sender needs of a client. One thread uses it."""

    @property
    def connections(self) -> int:
        """How many CONNACKs there have been."""

    @property
    def connected(self) -> bool: ...

    @property
    def receive_maximum(self) -> int:
        """Most unacknowledged messages the broker takes."""

    @property
    def maximum_packet(self) -> int | None:
        """Most bytes of a packet that the broker takes; None where it has not said so."""

    def notify(self, wake: Callable[[], None]) -> None:
        """Before `connect`: `wake` is called, on a thread of the client, when there is an ack or a connection."""

    def connect(self) -> None:
        """Begin to connect and keep trying; returns at once."""

    def service(self, idle: bool) -> None:
        """Do what callbacks must not; call it often. `idle`: all that was handed over is acknowledged."""

    def publish(self, topic: str, payload: bytes, retain: bool) -> int:
        """Hand over at QoS 1; returns the mid. Raises MqttError if the client did not take it."""

    def acks(self) -> tuple[Ack, ...]:
        """PUBACKs since the last call."""

    def restart(self) -> None:
        """Forget everything handed over and connect anew; acks of before never arrive."""

    def problem(self) -> str | None:
        """Why there is no connection, one line without secrets; None while there is one."""

    def close(self) -> None:
        """Disconnect and end; safe to call twice."""


@dataclass
class _Link:
    """What the callbacks of one paho client have seen. A new client gets a new one, so late calls are lost."""

    acks: deque[Ack]
    connected: bool = False
    connections: int = 0
    drops: int = 0
    asked_at: float | None = None
    refused_version: bool = False
    receive_maximum: int = DEFAULT_RECEIVE_MAXIMUM
    maximum_packet: int | None = None
    problem: str | None = "not connected yet"


class PahoClient:
    """MqttClient over paho-mqtt. `will` is the retained last will on `will_topic`."""

    def __init__(self, config: MqttSection, client_id: str, will_topic: str, will: bytes) -> None:
        """Raises MqttError if the password's variable is not set or TLS files cannot be read."""
        self._config = config
        self._client_id = client_id
        self._will = (will_topic, will)
        # The embedded broker is known not to speak version 5.
        self._v5 = not config.embedded
        self._retry_v5_at: float | None = None
        self._retry_v5_s = RETRY_V5_S
        self._before = 0
        self._where = f"{config.host}:{config.port}"
        self._password = _password(config)
        self._tls = _tls(config) if config.secure else None
        self._link = _Link(deque())
        self._client: paho.Client | None = None
        self._ears: tuple[str, Hear] | None = None
        self._deaf = False
        self._wake: Callable[[], None] = lambda: None

    def listen(self, topics: str, hear: Hear) -> None:
        """Before `connect`: hear what comes on the topics of this filter. `hear` must return at once."""
        self._ears = (topics, hear)

    def deafen(self) -> None:
        """Ask the broker for no more messages; those on their way are still heard."""
        ears, client = self._ears, self._client
        self._deaf = True
        if ears is not None and client is not None:
            client.unsubscribe(ears[0])

    def notify(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    @property
    def connections(self) -> int:
        return self._before + self._link.connections

    @property
    def connected(self) -> bool:
        return self._link.connected

    @property
    def receive_maximum(self) -> int:
        return self._link.receive_maximum

    @property
    def maximum_packet(self) -> int | None:
        return self._link.maximum_packet

    def connect(self) -> None:
        if self._client is not None:
            return
        self._link = _Link(deque())
        self._client = self._make(self._link)
        self._client.connect_async(self._config.host, self._config.port, KEEPALIVE_S)
        self._client.loop_start()

    def service(self, idle: bool) -> None:
        link, now = self._link, time.monotonic()
        silent = link.asked_at is not None and now - link.asked_at > SILENCE_BEFORE_FALLBACK_S
        if self._v5 and (link.refused_version or link.drops >= DROPS_BEFORE_FALLBACK or silent):
            log.warning("%s: no answer in MQTT 5; in 3.1.1 a broker cannot say that it refuses a message", self._where)
            self._v5 = False
            self._retry_v5_at = None if link.refused_version else now + self._retry_v5_s
            self._retry_v5_s *= RETRY_V5_FACTOR
            self.restart()
        elif not self._v5 and self._retry_v5_at is not None and now >= self._retry_v5_at and link.connected and idle:
            self._v5, self._retry_v5_at = True, None
            self.restart()

    def publish(self, topic: str, payload: bytes, retain: bool) -> int:
        if self._client is None:
            raise MqttError(f"{self._where}: not started")
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        # Without a connection paho keeps the message and sends it later: that is handed over, too.
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            raise MqttError(f"{self._where}: not taken: {paho.error_string(info.rc)}")
        return info.mid

    def acks(self) -> tuple[Ack, ...]:
        queue, out = self._link.acks, []
        while queue:
            out.append(queue.popleft())
        return tuple(out)

    def restart(self) -> None:
        self.close()
        self.connect()

    def problem(self) -> str | None:
        return None if self._link.connected else self._link.problem

    def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        self._before += self._link.connections
        self._link = _Link(deque(), problem="closed")
        # loop_stop alone would wait for every unacknowledged message.
        client.disconnect()
        client.loop_stop()

    def _make(self, link: _Link) -> paho.Client:
        version = MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=self._client_id, protocol=version)
        client.suppress_exceptions = True
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
        # The sender keeps its own, smaller window; paho must never hold back on its own account.
        client.max_inflight_messages_set(DEFAULT_RECEIVE_MAXIMUM)
        client.will_set(self._will[0], self._will[1], qos=1, retain=True)
        if self._config.username is not None:
            client.username_pw_set(self._config.username, self._password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        where, wake = self._where, self._wake

        def on_socket_open(_c: Any, _u: Any, _s: Any) -> None:
            link.asked_at = time.monotonic() if link.connections == 0 else None

        def on_connect(_c: Any, _u: Any, _f: Any, code: Any, properties: Any) -> None:
            link.asked_at = None
            if code.is_failure:
                link.problem = f"{where}: refused: {code}"
                link.refused_version = str(code) == "Unsupported protocol version"
                return
            link.receive_maximum = getattr(properties, "ReceiveMaximum", DEFAULT_RECEIVE_MAXIMUM)
            link.maximum_packet = getattr(properties, "MaximumPacketSize", None)
            link.problem, link.drops = None, 0
            link.connections += 1
            link.connected = True
            if self._ears is not None and not self._deaf:
                client.subscribe(self._ears[0], qos=1)
            wake()

        def on_disconnect(_c: Any, _u: Any, _f: Any, code: Any, _p: Any) -> None:
            if link.connected:
                link.problem = f"{where}: connection lost: {code}"
            elif link.problem is None or "refused" not in link.problem:
                link.problem = f"{where}: hung up before answering: {code}"
                link.drops += link.connections == 0
            link.connected, link.asked_at = False, None

        def on_connect_fail(_c: Any, _u: Any) -> None:
            link.problem = f"{where}: cannot be reached"

        def on_publish(_c: Any, _u: Any, mid: int, code: Any, _p: Any) -> None:
            link.acks.append(Ack(mid, bool(code.is_failure), str(code)))
            wake()

        def on_message(_c: Any, _u: Any, message: Any) -> None:
            if self._ears is not None:
                self._ears[1](message.topic, bytes(message.payload), bool(message.retain))

        client.on_message = on_message
        client.on_socket_open = on_socket_open
        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_connect_fail = on_connect_fail
        client.on_publish = on_publish
        return client


def _password(config: MqttSection) -> str | None:
    if config.password_env is None:
        return None
    value = os.environ.get(config.password_env)
    if not value:
        raise MqttError(f"mqtt.password_env: the environment variable {config.password_env} is not set")
    return value


def _tls(config: MqttSection) -> ssl.SSLContext:
    files = config.tls
    try:
        context = ssl.create_default_context(cafile=str(files.ca) if files and files.ca else None)
        if files and files.cert:
            context.load_cert_chain(str(files.cert), str(files.key) if files.key else None)
    except OSError as error:
        raise MqttError(f"mqtt.tls: ca, cert or key cannot be used: {error.strerror or error}") from error
    return context
