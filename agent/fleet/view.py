"""Retained messages of many agents -> one view. Pure; what another version says more, or wrongly, does no harm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

UNKNOWN = "unknown"


@dataclass(frozen=True)
class FleetLine:
    """One line as its agent last told. `profile`: its id, None without one."""

    name: str
    state: str = UNKNOWN
    mode: str | None = None
    health: str | None = None
    guarantee: str | None = None
    profile: str | None = None


@dataclass(frozen=True)
class FleetAgent:
    """One agent. Of one that is offline everything else is what it last said. `healthy`: None where it said nothing."""

    name: str
    state: str = UNKNOWN
    reason: str | None = None
    version: str | None = None
    backbone: str | None = None
    healthy: bool | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    messages_waiting: int | None = None
    lines: tuple[FleetLine, ...] = ()

    @property
    def well(self) -> bool:
        """Online, and says that it is healthy."""
        return self.state == "online" and self.healthy is True


def fleet_of(retained: Mapping[str, Mapping[str, Any]], prefix: str) -> tuple[FleetAgent, ...]:
    """Topic -> body, as the broker has them; agents and lines by name."""
    agents: dict[str, FleetAgent] = {}
    lines: dict[tuple[str, str], FleetLine] = {}
    removed: set[tuple[str, str]] = set()
    for topic, body in sorted(retained.items()):
        words = [_printable(word) for word in topic.removeprefix(f"{prefix}/").split("/")]
        agent = agents.setdefault(words[0], FleetAgent(words[0]))
        match words[1:]:
            case ["status"]:
                agents[agent.name] = replace(agent, state=_text(body, "state") or UNKNOWN, reason=_text(body, "reason"))
            case ["info"]:
                agents[agent.name] = replace(agent, version=_text(body, "version"), backbone=_text(body, "backbone"))
                for name, profile in _profiles(body):
                    key = (agent.name, name)
                    lines[key] = replace(lines.get(key, FleetLine(name)), profile=profile)
            case ["health"]:
                agents[agent.name] = _with_health(agent, body)
            case [name, "status"]:
                key = (agent.name, name)
                if body.get("state") == "removed":
                    removed.add(key)
                lines[key] = _with_status(lines.get(key, FleetLine(name)), body)
    shown: dict[str, list[FleetLine]] = {}
    for key in sorted(lines.keys() - removed):
        shown.setdefault(key[0], []).append(lines[key])
    return tuple(replace(agents[name], lines=tuple(shown.get(name, ()))) for name in sorted(agents))


def _with_health(agent: FleetAgent, body: Mapping[str, Any]) -> FleetAgent:
    healthy, waiting = body.get("healthy"), body.get("messages_waiting")
    return replace(
        agent,
        healthy=healthy if isinstance(healthy, bool) else None,
        problems=_texts(body, "problems"),
        notes=_texts(body, "notes"),
        messages_waiting=waiting if isinstance(waiting, int) else None,
    )


def _with_status(line: FleetLine, body: Mapping[str, Any]) -> FleetLine:
    return replace(
        line,
        state=_text(body, "state") or UNKNOWN,
        mode=_text(body, "mode"),
        health=_text(body, "health"),
        guarantee=_text(body, "guarantee"),
    )


def _profiles(body: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    found = body.get("lines")
    entries = [e for e in found if isinstance(e, Mapping)] if isinstance(found, list) else []
    return [(name, _text(entry, "profile")) for entry in entries if (name := _text(entry, "name")) is not None]


def _text(body: Mapping[str, Any], key: str) -> str | None:
    """On one line: it comes from another machine and is printed on a terminal."""
    value = body.get(key)
    return _printable(value) if isinstance(value, str) else None


def _texts(body: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = body.get(key)
    return tuple(_printable(t) for t in found if isinstance(t, str)) if isinstance(found, list) else ()


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:500]
