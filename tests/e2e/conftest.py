"""The real broker of the agent's tests, for whole runs."""

from tests.agent.conftest import mosquitto

__all__ = ["mosquitto"]
