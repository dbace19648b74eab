"""How our commands end: exit 0 good, 1 found or failed, 2 wrong usage or configuration; errors are one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from fbclip.errors import ConfigError, FbclipError
from fbclip.verify import Deviation


def guarded(
    app: typer.Typer,
    failures: tuple[type[Exception], ...] = (FbclipError,),
    usage: tuple[type[Exception], ...] = (ConfigError,),
) -> Callable[[], None]:
    """The script's entry point: a known error becomes one line on stderr, without a traceback."""

    def main() -> None:
        try:
            app()
        except usage as error:
            _fail(error, 2)
        except failures as error:
            _fail(error, 1)
        except OSError as error:
            # Disk full, no permission: the user's to mend, with the file named by the system.
            _fail(error, 1)
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            sys.exit(130)

    return main


def _fail(error: Exception, code: int) -> None:
    text = " ".join(str(error).split())
    sys.stderr.write(f"error: {text}\n")
    sys.exit(code)


def show_deviations(rows: Sequence[Deviation], as_json: bool) -> bool:
    """Print a golden comparison; true when every tensor is within its tolerance."""
    good = all(row.ok for row in rows)
    if as_json:
        typer.echo(json.dumps({"ok": good, "tensors": [{**asdict(r), "ok": r.ok} for r in rows]}))
        return good
    table = Table("tensor", "largest deviation", "tolerance", "")
    for row in rows:
        table.add_row(row.name, f"{row.largest:.2e}", f"{row.tolerance:.0e}", "ok" if row.ok else "FAILED")
    Console().print(table)
    largest = max((row.largest for row in rows), default=0.0)
    typer.echo(f"{'agrees' if good else 'DOES NOT AGREE'}: {len(rows)} tensors, largest deviation {largest:.2e}")
    return good
