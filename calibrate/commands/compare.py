"""`calibrate compare`: folders of `calibrate evaluate` -> which is better, with intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from calibrate.commands.options import JsonOption


def compare(
    runs: Annotated[list[Path], typer.Argument(help="run folders over the same data; the first is the base")],
    out: Annotated[Path | None, typer.Option(help="Markdown file to write, *.md")] = None,
    as_json: JsonOption = False,
) -> None:
    """Paired bootstrap over units of image AUROC and AP; the other numbers side by side."""
    from calibrate.evaluation import compare as comparison
    from calibrate.evaluation.markdown import comparison_text
    from fbclip.files import write_atomically

    found = comparison.compare([comparison.read_compared(folder) for folder in runs])
    text = comparison_text(found)
    if out is not None:
        write_atomically(out, text.encode())
    typer.echo(json.dumps(found.as_dict()) if as_json else text.rstrip())
