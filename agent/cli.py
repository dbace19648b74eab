"""`agent run`, `check`, `inspect`, `status`, `events` and `collect`."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from agent.config.loader import load_config
from agent.config.sections import Config
from fbclip.command import guarded
from fbclip.errors import ConfigError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
ConfigOption = Annotated[Path, typer.Option("-c", "--config", help="configuration file")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for machines")]
DEFAULT_CONFIG = Path("agent.yaml")


@app.callback()
def _root() -> None:
    """Edge inspection agent."""


@app.command()
def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Judge frames and files until SIGTERM or Ctrl-C."""
    from agent.app import run_agent

    settings = load_config(config)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    stop, ready = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Handlers only set a flag: the work of stopping is done by the thread that watches it.
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_welcome, args=(settings, ready, stop), daemon=True).start()
    raise typer.Exit(run_agent(settings, stop, ready))


def _welcome(config: Config, ready: threading.Event, stop: threading.Event) -> None:
    """What to do next, on the terminal, once everything runs."""
    while not ready.wait(0.2):
        if stop.is_set():
            return
    folders = [line for line in config.lines if line.source.type == "folder"]
    typer.echo(f"\n{config.agent.name} is judging {', '.join(line.name for line in config.lines)}.")
    typer.echo(f"  page     http://{config.web.listen}/")
    topic = f"{config.mqtt.prefix}/{config.agent.name}/#"
    version = " -V mqttv311" if config.mqtt.embedded else ""
    typer.echo(f"  messages mosquitto_sub{version} -h {config.mqtt.host} -p {config.mqtt.port} -t '{topic}' -v")
    for line in folders:
        typer.echo(f"  files    drop an image into {line.source.path} and see line {line.name}")  # type: ignore[union-attr]
    typer.echo("  events   agent events")
    typer.echo("  stop     Ctrl-C\n")


@app.command()
def check(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Try every part of the configuration; exit 1 names what fails."""
    from agent.commands.check import check_all

    logging.basicConfig(level=logging.ERROR)
    rows = list(check_all(load_config(config)))
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows]))
    else:
        for row in rows:
            typer.echo(
                f"{'ok    ' if row.problem is None else 'FAILED'} {row.part}{': ' + row.problem if row.problem else ''}"
            )
    raise typer.Exit(1 if any(row.problem for row in rows) else 0)


@app.command()
def inspect(
    paths: Annotated[list[Path], typer.Argument(help="images, or folders of them")],
    profile: Annotated[Path | None, typer.Option(help="profile; without one there is a score but no verdict")] = None,
    backbone: Annotated[str, typer.Option(help="embedded or ViT-L-14-336")] = "embedded",
    weights: Annotated[Path | None, typer.Option(help="local file of the backbone's weights")] = None,
    adapter: Annotated[Path | None, typer.Option(help="adapter directory")] = None,
    memory: Annotated[Path | None, typer.Option(help="directory of the memory that the profile names")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda[:N]")] = "auto",
    save: Annotated[Path | None, typer.Option(help="folder for images with heat map and regions")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a file")] = False,
) -> None:
    """Judge files now; exit 1 if any is anomalous or rejected."""
    from agent.commands.inspect import expand, inspect_files
    from fbclip.artefacts.profile_file import load_profile
    from fbclip.detector import open_detector

    logging.basicConfig(level=logging.WARNING)
    files = expand(paths)
    adapters = () if adapter is None else (adapter,)
    # A profile belongs to one precision, so it says which.
    precision = "float32" if profile is None else load_profile(profile).profile.precision
    memories = () if memory is None else (memory,)
    detector = open_detector(backbone, weights, adapters, device, precision, memories)
    passed = True
    for answer in inspect_files(detector, profile, files, save):
        passed &= answer.passed
        if as_json:
            typer.echo(json.dumps(asdict(answer)))
        else:
            z = "" if answer.z is None else f" z {answer.z:.3f} (threshold {answer.threshold:.3f})"
            margin = "" if answer.margin is None else f" margin {answer.margin:.3f}"
            reason = "" if answer.reason is None else f" ({answer.reason})"
            typer.echo(f"{answer.verdict:9}{reason}{z}{margin} {len(answer.regions)} regions {answer.path}")
    raise typer.Exit(0 if passed else 1)


@app.command()
def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Run, lines, verdict counts and waiting messages, from the store."""
    from agent.store.engine import open_reader
    from agent.store.lock import is_locked
    from agent.store.reader import Reader

    settings = load_config(config)
    database = open_reader(settings.store_url)
    try:
        reader = Reader(database)
        store = reader.status()
        totals = {line.name: {v.value: n for v, n in reader.totals(line.name).items()} for line in settings.lines}
    finally:
        database.close()
    running = is_locked(settings.agent.data_dir)
    if as_json:
        typer.echo(json.dumps({"running": running, **_plain(asdict(store)), "lines": totals}))
        return
    typer.echo(
        f"agent {settings.agent.name}: {'running' if running else 'not running'}, run {store.run} since {store.started}"
    )
    typer.echo(
        f"open events {store.open_events}, messages waiting {store.unsent} (oldest {store.oldest_unsent or '-'})"
    )
    table = Table("line", "ok", "uncertain", "anomaly", "rejected")
    for name, counts in totals.items():
        table.add_row(name, *(str(counts[v]) for v in ("ok", "uncertain", "anomaly", "rejected")))
    Console().print(table)


@app.command()
def events(
    config: ConfigOption = DEFAULT_CONFIG,
    line: Annotated[str | None, typer.Option(help="this line only")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    as_json: JsonOption = False,
) -> None:
    """The latest events, newest first."""
    from agent.store.engine import open_reader
    from agent.store.reader import Reader

    settings = load_config(config)
    if line is not None and line not in {section.name for section in settings.lines}:
        raise ConfigError(f"--line {line}: no such line in {config}")
    database = open_reader(settings.store_url)
    try:
        rows = Reader(database).recent_events(line, limit)
    finally:
        database.close()
    if as_json:
        typer.echo(json.dumps([_plain(asdict(row)) for row in rows]))
        return
    for row in rows:
        ended = "open      " if row.ended is None else f"{row.ended:%H:%M:%S}Z "
        reason = row.end_reason or ""
        typer.echo(f"{row.opened:%Y-%m-%d %H:%M:%S}Z  {ended} {row.line:12} {row.kind:10} {reason:9} {row.event_id}")


@app.command()
def collect(
    line: Annotated[str, typer.Option(help="name of the line in the configuration")],
    out: Annotated[Path, typer.Option(help="new folder for the images")],
    units: Annotated[int, typer.Option(min=1, help="how many normal units")] = 400,
    every: Annotated[int, typer.Option(min=1, help="keep one of so many frames, so that a part counts once")] = 1,
    idle: Annotated[float, typer.Option(min=0, help="a folder without news for so many seconds is at its end")] = 30,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Normal images through the live path, for `calibrate threshold`. The files themselves stay where they are."""
    from agent.commands.collect import Collector
    from agent.commands.collect import collect as run_collect

    settings = load_config(config)
    section = next((s for s in settings.lines if s.name == line), None)
    if section is None:
        raise ConfigError(f"--line {line}: no such line in {config}")
    logging.basicConfig(level=logging.WARNING)
    collector = Collector(line, out, units, every)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("collecting", total=units)
        run_collect(section, collector, lambda: progress.advance(task), idle)
    typer.echo(f"{out}: {collector.written} of {units} units, {collector.faults} frames could not be used")
    raise typer.Exit(0 if collector.done else 1)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Datetimes as RFC 3339 text."""
    return {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items()}


main = guarded(app)
