"""What `fbclip verify` and `calibrate verify` print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from fbclip.verification.deviation import Deviation


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
