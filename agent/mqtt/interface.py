"""What the sender needs of an MQTT client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Hear = Callable[[str, bytes, bool], None]
"""Topic, payload, and whether it is a retained message of before."""


@dataclass(frozen=True)
class Ack:
    """A PUBACK; `failed` if its reason code says that the broker did not take the message."""

    mid: int
    failed: bool
    reason: str


class MqttClient(Protocol):
    """One thread uses it; any may ask for `problem` and `notes`."""

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
        """Why there is no connection, or none that stays, one line without secrets; None if all is well."""

    def notes(self) -> tuple[str, ...]:
        """What a working connection lacks, one line each: nothing that a repair of the agent would mend."""

    def close(self) -> None:
        """Disconnect and end; safe to call twice."""
