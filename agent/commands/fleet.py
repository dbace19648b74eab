"""`agent fleet status`: every agent of a broker with its lines, in one table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.commands.options import FleetStatusRequest
from agent.config.loader import load_config
from agent.fleet.listening import retained_topics
from agent.fleet.view import FleetAgent, FleetLine, fleet_of

PROFILE_LETTERS = 12


def fleet_status_command(request: FleetStatusRequest) -> int:
    """Exit code 1 if any agent is not online and healthy; raises ConfigError or MqttError."""
    section = load_config(request.config).mqtt
    fleet = fleet_of(retained_topics(section, request.wait), section.prefix)
    if request.as_json:
        typer.echo(json.dumps([{**asdict(agent), "well": agent.well} for agent in fleet]))
    else:
        _show(fleet)
    return 0 if all(agent.well for agent in fleet) else 1


def _show(fleet: Sequence[FleetAgent]) -> None:
    table = Table("agent", "is", "version", "line", "state", "mode", "profile", "guarantee")
    for agent in fleet:
        for first, line in _rows(agent):
            own = (agent.name, _state(agent), agent.version or "-") if first else ("", "", "")
            profile = (line.profile or "-")[:PROFILE_LETTERS]
            cells = (*own, line.name, line.state, line.mode or "-", profile, line.guarantee or "-")
            table.add_row(*map(escape, cells))
    Console().print(table)
    for agent in fleet:
        for text in agent.problems:
            # Of one that is offline they may be long gone.
            typer.echo(f"{agent.name}{'' if agent.state == 'online' else ' (last heard)'}: {text}")
    well = sum(agent.well for agent in fleet)
    typer.echo(f"{len(fleet)} agents, {well} online and healthy")


def _rows(agent: FleetAgent) -> Iterator[tuple[bool, FleetLine]]:
    for number, line in enumerate(agent.lines or (FleetLine("-", "-"),)):
        yield number == 0, line


def _state(agent: FleetAgent) -> str:
    if agent.state != "online":
        return f"{agent.state} ({agent.reason})" if agent.reason else agent.state
    return {True: "healthy", False: "not healthy", None: "online"}[agent.healthy]
