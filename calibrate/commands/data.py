"""`calibrate data`: what a data set holds and whether it can be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from calibrate.commands.options import DataOptions, JsonOption
from fbclip.command import grouped


@grouped
def data(
    data: Annotated[Path, typer.Argument(help="folder of images")],
    reading: DataOptions,
    as_json: JsonOption = False,
) -> None:
    """Images, units, masks and faults of a data set; exit 1 when it cannot be used as it is."""
    from calibrate.datasets.summary import summarise, summary_text

    summary = summarise(reading.read(data))
    typer.echo(json.dumps(summary.as_dict()) if as_json else summary_text(summary))
    raise typer.Exit(0 if summary.usable else 1)
