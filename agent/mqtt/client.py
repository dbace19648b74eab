"""paho as the sender sees it: MQTT 5 first, 3.1.1 for a broker that does not speak it."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

from agent.config.services import MqttSection
from agent.errors import MqttError
from agent.mqtt.backoff import Backoff
from agent.mqtt.interface import Ack, Hear
from agent.mqtt.link import DEFAULT_RECEIVE_MAXIMUM, NOT_YET, Link, Lost
from agent.mqtt.reasons import why_contested
from agent.mqtt.target import target

log = logging.getLogger(__name__)
RECONNECT_MIN_S = 1.0
# An alert waits so long for a broker that is back.
RECONNECT_MAX_S = 15.0
# A broker without MQTT 5 may hang up instead of answering; once may also be a restart.
DROPS_BEFORE_FALLBACK = 2
# A broker that was only slow, or starting, speaks version 5 after all. Each try costs a connection: ever rarer.
RETRY_V5_S = 60.0
RETRY_V5_FACTOR = 4
# Two agents of one client id take the session from each other, and some brokers say nothing of it. So many connections
# in a row that lived no longer than this, which is more than the longest pause, are not the network's doing.
BRIEF_S = 30.0
BRIEF_ONES = 3
BLIND = "MQTT 3.1.1: that the broker refuses a message cannot be seen; check its access list and limits"


class PahoClient:
    """MqttClient over paho-mqtt. `will` is the retained last will on `will_topic`."""

    def __init__(
        self,
        config: MqttSection,
        client_id: str,
        will_topic: str,
        will: bytes,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Raises MqttError if the password's variable is not set or TLS files cannot be read."""
        self._target = target(config, client_id, will_topic, will)
        self._embedded = config.embedded
        # The embedded broker is known not to speak version 5.
        self._v5 = not config.embedded
        self._retry_v5_at: float | None = None
        self._retry_v5_s = RETRY_V5_S
        self._backoff = Backoff(RECONNECT_MIN_S, RECONNECT_MAX_S, chance)
        self._before = 0
        self._link: Link | None = None
        self._problem = NOT_YET
        self._brief = 0
        self._ears: tuple[str, Hear] | None = None
        self._wake: Callable[[], None] = lambda: None

    def listen(self, topics: str, hear: Hear) -> None:
        """Before `connect`: hear what comes on the topics of this filter. `hear` must return at once."""
        self._ears = (topics, hear)

    def deafen(self) -> None:
        """Ask the broker for no more messages; those on their way are still heard."""
        link = self._link
        if link is not None:
            link.deafen()

    def notify(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    @property
    def connections(self) -> int:
        link = self._link
        return self._before + (0 if link is None else link.connections)

    @property
    def connected(self) -> bool:
        link = self._link
        return link is not None and link.connected

    @property
    def receive_maximum(self) -> int:
        link = self._link
        return DEFAULT_RECEIVE_MAXIMUM if link is None else link.receive_maximum

    @property
    def maximum_packet(self) -> int | None:
        link = self._link
        return None if link is None else link.maximum_packet

    def connect(self) -> None:
        if self._link is not None:
            return
        link = Link(self._target, v5=self._v5, wake=self._wake, pause=self._pause, problem=self._problem)
        link.listen(self._ears)
        self._link = link
        link.open(self._target.host, self._target.port)

    def service(self, idle: bool) -> None:
        link, now = self._link, time.monotonic()
        if link is None:
            return
        silent = link.connections == 0 and link.silent(now)
        if self._v5 and (link.refused_version or link.drops >= DROPS_BEFORE_FALLBACK or silent):
            log.warning("%s: no answer in MQTT 5, trying 3.1.1", self._target.where)
            self._v5 = False
            self._retry_v5_at = None if link.refused_version else now + self._retry_v5_s
            self._retry_v5_s *= RETRY_V5_FACTOR
            self.restart()
        elif not self._v5 and self._retry_v5_at is not None and now >= self._retry_v5_at and link.connected and idle:
            self._v5, self._retry_v5_at = True, None
            self.restart()

    def publish(self, topic: str, payload: bytes, retain: bool) -> int:
        if self._link is None:
            raise MqttError(f"{self._target.where}: not started")
        info = self._link.publish(topic, payload, retain)
        # Without a connection paho keeps the message and sends it later: that is handed over, too.
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            raise MqttError(f"{self._target.where}: not taken: {paho.error_string(info.rc)}")
        return info.mid

    def acks(self) -> tuple[Ack, ...]:
        out: list[Ack] = []
        while self._link is not None and self._link.acks:
            out.append(self._link.acks.popleft())
        return tuple(out)

    def restart(self) -> None:
        self._end(self.problem() or NOT_YET)
        self.connect()

    def problem(self) -> str | None:
        link, now = self._link, time.monotonic()
        if link is None:
            return self._problem
        steady = link.connected and now - link.connected_at >= BRIEF_S
        if self._brief >= BRIEF_ONES and not steady and (link.connected or link.lost):
            # They are connected most of the time: it stays named between.
            return f"{self._target.where}: {why_contested(self._target.client_id)}"
        return link.why_not(now)

    def notes(self) -> tuple[str, ...]:
        link = self._link
        if link is None or not link.connected:
            return ()
        blind = None if link.v5 or self._embedded else f"{self._target.where}: {BLIND}"
        return tuple(text for text in (blind, link.deaf) if text is not None)

    def close(self) -> None:
        self._end("closed")

    def _end(self, problem: str) -> None:
        self._problem = problem
        link, self._link = self._link, None
        if link is None:
            return
        self._before += link.connections
        link.close()

    def _pause(self, lost: Lost | None) -> float:
        """On paho's thread. A broker that took messages deserves a quick return, unless it hangs up each time."""
        if lost is not None:
            # Some brokers hang up over each message that they refuse, which is no other client's doing.
            self._brief = self._brief + 1 if lost.lived_s < BRIEF_S and not lost.refused else 0
            self._brief = max(self._brief, BRIEF_ONES if lost.taken_over else 0)
            if lost.useful and self._brief < BRIEF_ONES:
                self._backoff.reset()
        return self._backoff.delay()
