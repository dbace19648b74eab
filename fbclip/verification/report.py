"""What `fbclip verify` and `calibrate verify` print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from fbclip.verification.deviation import Deviation
from fbclip.verification.self_test import SelfTestRun


def show_deviations(rows: Sequence[Deviation], as_json: bool) -> bool:
    """Print a golden comparison; true when every tensor is within its tolerance."""
    agrees = all(row.ok for row in rows)
    if as_json:
        typer.echo(json.dumps({"ok": agrees, "tensors": [{**asdict(r), "ok": r.ok} for r in rows]}))
        return agrees
    table = Table("tensor", "largest deviation", "tolerance", "")
    for row in rows:
        table.add_row(row.name, f"{row.largest:.2e}", f"{row.tolerance:.0e}", "ok" if row.ok else "FAILED")
    Console().print(table)
    largest = max((row.largest for row in rows), default=0.0)
    typer.echo(f"{'agrees' if agrees else 'DOES NOT AGREE'}: {len(rows)} tensors, largest deviation {largest:.2e}")
    return agrees


def show_self_test(runs: Sequence[SelfTestRun], as_json: bool) -> bool:
    """Print a self-test; true when every device agrees in every precision."""
    agrees = all(run.ok for run in runs)
    if as_json:
        typer.echo(json.dumps({"ok": agrees, "runs": [{**asdict(run), "ok": run.ok} for run in runs]}))
        return agrees
    table = Table("device", "precision", "tensors", "worst", "deviation", "tolerance", "")
    for run in runs:
        worst = run.worst
        cells = ("", "", "") if worst is None else (worst.name, f"{worst.largest:.2e}", f"{worst.tolerance:.0e}")
        table.add_row(run.device, run.precision, str(run.tensors), *cells, "ok" if run.ok else "FAILED")
    Console().print(table)
    for run in runs:
        if run.fault is not None:
            typer.echo(f"{run.device} {run.precision}: {run.fault}")
    failed = sum(not run.ok for run in runs)
    typer.echo("this installation computes what it should" if agrees else f"{failed} of {len(runs)} DO NOT AGREE")
    return agrees
