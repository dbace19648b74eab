"""`calibrate report`: the folder of an evaluated run -> one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="folder that `calibrate evaluate` wrote")],
    out: Annotated[Path | None, typer.Option(help="page to write; default: report.html in the folder")] = None,
    profile: Annotated[
        Path | None, typer.Option(help="the profile the run was judged by, for its heat scale and its memory")
    ] = None,
    few_shot: Annotated[
        Path | None, typer.Option(help="curves that `calibrate few-shot --out` wrote, to be shown as well")
    ] = None,
) -> None:
    """One self-contained page to read, to print and to keep."""
    from calibrate.few_shot.document import read_few_shot
    from calibrate.report.page import render
    from calibrate.report.reading import read_run, with_profile
    from fbclip.files import write_atomically

    curves = None if few_shot is None else read_few_shot(few_shot)
    evaluated = read_run(run)
    if profile is not None:
        evaluated = with_profile(evaluated, profile)
    page = out or run / "report.html"
    write_atomically(page, render(evaluated, curves).encode())
    typer.echo(f"{page}: written")
