"""`calibrate verify`: a golden case's training steps or metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibrate.commands.options import JsonOption


def verify(
    case_dir: Annotated[Path, typer.Argument(help="golden training case")],
    as_json: JsonOption = False,
) -> None:
    """Losses, gradients and parameters of a golden case's optimiser steps; exit 1 beyond tolerance."""
    from calibrate.verify import verify_training
    from fbclip.verify_report import show_deviations

    rows = verify_training(case_dir)
    raise typer.Exit(0 if show_deviations(rows, as_json) else 1)
