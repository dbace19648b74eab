"""A real broker for whoever asks for one."""

from tests.factories.brokers import mosquitto

__all__ = ["mosquitto"]
