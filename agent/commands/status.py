"""`agent status`: run, lines, verdict counts and waiting messages from the store, and what the running agent lacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from agent.commands.options import StatusRequest, json_values
from agent.commands.talk import ask
from agent.config.loader import load_config
from agent.config.sections import Config
from agent.errors import AgentError
from agent.store.access import open_reader
from agent.store.lock import is_locked
from agent.store.reader import Reader, StoreStatus
from fbclip.errors import ConfigError

Totals = Mapping[str, Mapping[str, int]]


def status_command(request: StatusRequest) -> None:
    """Print it; raises ConfigError or StoreError."""
    config = load_config(request.config)
    database = open_reader(config.store_url, config.agent.name)
    try:
        reader = Reader(database)
        store = reader.status()
        totals = {line.name: {v.value: n for v, n in reader.totals(line.name).items()} for line in config.lines}
    finally:
        database.close()
    running = is_locked(config.agent.data_dir)
    now = state_now(config) if running else RunningState()
    if request.as_json:
        found = {
            "running": running,
            **json_values(asdict(store)),
            "lines": totals,
            "problems": list(now.problems),
            "broker": now.broker,
            "advice": dict(now.advice),
            "shadows": dict(now.shadows),
        }
        typer.echo(json.dumps(found))
    else:
        _show(config, store, totals, running)
        if now.broker is not None:
            typer.echo(f"broker: {now.broker}")
        for line, counts in now.shadows.items():
            typer.echo(shadow_text(line, counts))
        for text in now.problems:
            typer.echo(f"not healthy: {text}")
        for line, text in now.advice.items():
            typer.echo(f"line {line}: recalibrate: {text}")


@dataclass(frozen=True)
class RunningState:
    """What a running agent says of itself. advice: by line, why it should be calibrated anew; shadows: by line, what
    its shadow profile found."""

    problems: tuple[str, ...] = ()
    broker: str | None = None
    advice: Mapping[str, str] = field(default_factory=dict)
    shadows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def state_now(config: Config) -> RunningState:
    """Over the address of its page."""
    try:
        state = ask(config, "GET", "/api/state", None)
    except (AgentError, ConfigError) as error:
        return RunningState((str(error),))
    lines = [line for line in state.get("lines", ()) if isinstance(line, dict)]
    advice = {str(line["name"]): str(line["line_advice"]) for line in lines if line.get("line_advice")}
    shadows = {str(line["name"]): line["shadow"] for line in lines if line.get("shadow")}
    return RunningState(tuple(map(str, state.get("problems", ()))), str(state.get("mqtt")), advice, shadows)


def shadow_text(line: str, counts: Mapping[str, Any]) -> str:
    """A line's two profiles side by side."""
    return (
        f"line {line}: shadow profile agrees in {counts['agree']} of {counts['judged']} since {counts['since']}; "
        f"alarms {counts['live']['anomaly']} live, {counts['shadow']['anomaly']} shadow; "
        f"only live {counts['only_live_alarms']}, only shadow {counts['only_shadow_alarms']}"
    )


def _show(config: Config, store: StoreStatus, totals: Totals, running: bool) -> None:
    state = "running" if running else "not running"
    typer.echo(f"agent {config.agent.name}: {state}, run {store.run} since {store.started}")
    oldest = store.oldest_unsent or "-"
    typer.echo(f"open events {store.open_events}, messages waiting {store.unsent} (oldest {oldest})")
    if store.parked.count:
        newest = f"the newest of line {store.parked.line}: {store.parked.reason}"
        typer.echo(f"messages parked {store.parked.count}, the broker does not take them; {newest}")
    if store.incident is not None:
        typer.echo(f"{store.incident.ts}: {store.incident.text}")
    table = Table("line", "ok", "uncertain", "anomaly", "rejected")
    for name, counts in totals.items():
        table.add_row(name, *(str(counts[v]) for v in ("ok", "uncertain", "anomaly", "rejected")))
    Console().print(table)
