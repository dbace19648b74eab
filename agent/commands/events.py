"""`agent events`: the latest events, newest first, read from the store."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from agent.commands.options import EventsRequest, json_values, section_of
from agent.config.loader import load_config
from agent.store.access import open_reader
from agent.store.reader import EventRow, Reader


def events_command(request: EventsRequest) -> None:
    """Print them; raises ConfigError or StoreError."""
    config = load_config(request.config)
    if request.line is not None:
        section_of(config, request.line, request.config)
    database = open_reader(config.store_url, config.agent.name)
    try:
        rows = Reader(database).recent_events(request.line, request.limit)
    finally:
        database.close()
    if request.as_json:
        typer.echo(json.dumps([json_values(asdict(row)) for row in rows]))
        return
    for row in rows:
        typer.echo(event_line(row))


def event_line(row: EventRow) -> str:
    """One event in columns."""
    ended = "open      " if row.ended is None else f"{row.ended:%H:%M:%S}Z "
    reason = row.end_reason or ""
    return f"{row.opened:%Y-%m-%d %H:%M:%S}Z  {ended} {row.line:12} {row.kind:10} {reason:9} {row.event_id}"
