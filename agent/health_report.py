"""What the agent says of its health each second: to the log where it changed, to the page, to retained topics."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from agent.health import HealthSnapshot, health_body, health_change, line_status_body, problems_of, without_figures
from agent.line_states import LineHealth
from agent.mqtt.home_assistant import HomeAssistant, HomeLine
from agent.parts import Parts
from agent.records import LineMode
from fbclip import __version__

log = logging.getLogger(__name__)


class HealthReport:
    """Owned by one thread: it remembers what it said last."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._known_problems: tuple[str, ...] = ()
        self._known_notes: tuple[str, ...] = ()
        self._known_lines: frozenset[str] = frozenset()
        config = parts.config
        self._home = HomeAssistant(
            parts.topics, __version__, parts.sender, config.agent.data_dir, config.mqtt.home_assistant
        )

    def tell(self, snapshot: HealthSnapshot) -> None:
        """Health to the log where it changed, to the page, and to the retained topics."""
        parts = self._parts
        self._log_changes(snapshot)
        parts.plc.look(snapshot)
        for line in snapshot.lines:
            parts.page.add_line(line.name, line.mode.value, line.live)
            parts.page.set_line(line.name, line.health, line.counters, line.triggers, line.drift, line.state.value)
            parts.sender.retain(parts.topics.line_status(line.name), line_status_body(line))
        names = frozenset(line.name for line in snapshot.lines)
        for name in self._known_lines - names:
            parts.sender.retain(parts.topics.line_status(name), {"state": "removed"})
        self._known_lines = names
        plans = parts.lineup.plans
        self._home.show(
            [
                HomeLine(line.name, line.mode is LineMode.LIVE, plans[line.name].section.is_private)
                for line in snapshot.lines
                if line.name in plans
            ]
        )
        parts.page.keep_lines(names)
        parts.sender.retain(parts.topics.health, health_body(snapshot))
        parts.sender.retain(parts.topics.info, _info_body(parts, snapshot.lines))
        parts.page.set_mqtt(snapshot.broker_problem or "; ".join(("connected", *snapshot.notes)))

    def _log_changes(self, snapshot: HealthSnapshot) -> None:
        problems = problems_of(snapshot)
        for text in health_change(self._known_notes, snapshot.notes).new:
            log.warning("note: %s", text)
        self._known_notes = snapshot.notes
        change = health_change(self._known_problems, problems)
        for text in change.new:
            log.warning("not healthy: %s", text)
        for text in change.recovered:
            log.info("recovered: %s", without_figures(text))
        self._known_problems = problems


def _info_body(parts: Parts, healths: Iterable[LineHealth]) -> dict[str, Any]:
    """What runs, for the agent's retained info; a line that never could run has neither profile nor model."""
    lines = parts.lineup.lines
    return {
        "agent": parts.config.agent.name,
        "version": __version__,
        "run": parts.run,
        "stream_id": parts.writer.stream_id,
        "backbone": parts.config.model.backbone,
        "lines": [
            {
                "name": health.name,
                "mode": health.mode.value,
                "profile": lines[health.name].profile_id if health.name in lines else None,
                "model": lines[health.name].adapter if health.name in lines else None,
            }
            for health in healths
        ],
    }
