"""Looks at the whole fleet again and again, and keeps what it saw last."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from agent.errors import MqttError
from agent.fleet.view import FleetAgent

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FleetSight:
    """What was seen, and when; `problem`: why nothing newer was, None while all is well."""

    agents: tuple[FleetAgent, ...] = ()
    seen: datetime | None = None
    problem: str | None = None


class FleetWatch:
    """One thread looks; any may ask for `sight`."""

    def __init__(
        self,
        look: Callable[[], tuple[FleetAgent, ...]],
        every_s: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`look` raises MqttError where the broker cannot be asked."""
        self._look = look
        self.every_s = every_s
        self._now = now
        self.sight = FleetSight()

    def look(self) -> None:
        """Once. What was seen before stays where nothing can be seen now."""
        try:
            self.sight = FleetSight(self._look(), self._now())
        except MqttError as error:
            if self.sight.problem is None:
                log.warning("%s", error)
            self.sight = replace(self.sight, problem=str(error))

    def run(self, stop: threading.Event) -> None:
        """Until `stop`."""
        while not stop.is_set():
            self.look()
            stop.wait(self.every_s)
