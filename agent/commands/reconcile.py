"""`agent reconcile`: every file of the hot folders accounted for, in the database and on the disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

import typer

from agent.commands.options import ReconcileRequest
from agent.config.loader import load_config
from agent.config.sections import Config
from agent.config.source import FolderSource
from agent.errors import StoreError
from agent.pipeline.reconcile import Misfit, Reconciliation, reconcile
from agent.privacy.references import read_references
from agent.store.access import open_reader
from agent.store.reader import Reader
from agent.store.schema import SCHEMA_VERSION


def reconcile_command(request: ReconcileRequest) -> int:
    """Print it line by line; returns 1 where something does not fit. Raises ConfigError or StoreError."""
    found = list(_lines(load_config(request.config)))
    if request.as_json:
        body = {"fits": not any(line.misfits for line in found), "lines": [asdict(line) for line in found]}
        typer.echo(json.dumps(body))
    else:
        for line in found:
            typer.echo(_text(line))
            for misfit in line.misfits:
                name = misfit.file if misfit.file.isprintable() else repr(misfit.file)
                typer.echo(f"  {name}: {misfit.what}")
    return 1 if any(line.misfits for line in found) else 0


def _lines(config: Config) -> Iterator[Reconciliation]:
    private = any(line.is_private for line in config.lines)
    references = read_references(config.agent.data_dir) if private else None
    database = open_reader(config.store_url, config.agent.name)
    try:
        if database.schema < SCHEMA_VERSION:
            raise StoreError("the database is of an earlier version; start the agent once, which upgrades it")
        for section in config.lines:
            if isinstance(section.source, FolderSource):
                try:
                    yield reconcile(section, section.source, Reader(database), references)
                except OSError as error:
                    misfit = Misfit("-", f"its folders cannot be read: {error.strerror}")
                    yield Reconciliation(section.name, 0, {}, 0, 0, 0, 0, 0, (misfit,))
    finally:
        database.close()


def _text(line: Reconciliation) -> str:
    counts = " + ".join(f"{count} {state}" for state, count in line.states.items())
    disk = f"{line.waiting} to come in the folder, {line.in_done} files in done, {line.in_failed} in failed"
    rest = f"{line.taken_away} taken away since" + (f", {line.older} older than the database" if line.older else "")
    whose = f" (agents {', '.join(line.agents)})" if line.agents else ""
    return f"line {line.line}{whose}: {line.arrived} files = {counts or 'unknown'}; {disk}, {rest}"
