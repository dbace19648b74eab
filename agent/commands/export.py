"""`agent export --out DIR`: pictures with feedback as a data set that `calibrate` reads."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from agent.commands.options import ExportFeedbackRequest, section_of
from agent.config.loader import load_config
from agent.exporting.data_set import Exported, export
from agent.store.access import open_reader
from agent.store.reader import Reader
from agent.store.views import Views


def export_command(request: ExportFeedbackRequest) -> int:
    """Print what was written; returns 1 if nothing was. Raises ConfigError, AgentError or OSError."""
    config = load_config(request.config)
    if request.line is not None:
        section_of(config, request.line, request.config)
    sections = {section.name: section for section in config.lines}
    database = open_reader(config.store_url, config.agent.name)
    try:
        found = export(Reader(database), Views(database), sections, config.agent.data_dir, request.out, request.line)
    finally:
        database.close()
    if request.as_json:
        typer.echo(json.dumps({"out": str(request.out), **asdict(found)}))
    else:
        _show(found, request)
    return 0 if found.total else 1


def _show(found: Exported, request: ExportFeedbackRequest) -> None:
    kept = found.total - found.originals
    typer.echo(f"{request.out}: {found.normal} ok, {found.anomalous} anomaly; {found.originals} files, {kept} as JPEG")
    for line, count in found.private.items():
        typer.echo(f"line {line} is private: {count} inspections with feedback stay here", err=True)
    if found.missing:
        numbers = ", ".join(map(str, found.missing[:10]))
        typer.echo(f"{len(found.missing)} without a picture are left out: inspections {numbers}", err=True)
    if not found.total:
        typer.echo("no feedback yet: say what an inspection was on the page or by `agent feedback`", err=True)
