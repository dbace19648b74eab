"""A real broker for whole runs."""

from tests.factories.brokers import mosquitto

__all__ = ["mosquitto"]
