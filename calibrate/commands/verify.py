"""`calibrate verify`: a golden case's training steps or metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibrate.commands.options import JsonOption
from fbclip.errors import FbclipError


def verify(
    case_dir: Annotated[Path, typer.Argument(help="golden training or metrics case")],
    as_json: JsonOption = False,
) -> None:
    """A golden case's optimiser steps, or the metrics of its maps and scores; exit 1 beyond tolerance."""
    from calibrate.verification.metrics import verify_metrics
    from calibrate.verification.peers import verify_peer_training
    from calibrate.verification.training import verify_training
    from fbclip.verification.peers import peer_case
    from fbclip.verification.report import show_deviations

    peer = peer_case(case_dir)
    if peer is not None:
        rows = verify_peer_training(peer)
    elif (case_dir / "case.json").is_file():
        rows = verify_training(case_dir)
    elif (case_dir / "case.safetensors").is_file() and (case_dir / "expected.json").is_file():
        rows = verify_metrics(case_dir)
    else:
        raise FbclipError(
            f"{case_dir}: neither a training case (case.json and case.safetensors) "
            "nor a metrics case (expected.json and case.safetensors)"
        )
    raise typer.Exit(0 if show_deviations(rows, as_json) else 1)
