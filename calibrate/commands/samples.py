"""`calibrate samples`: the images of the first run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def samples(
    out: Annotated[Path, typer.Option(help="folder to write")],
    calibration: Annotated[
        int | None, typer.Option(min=1, help="write so many normal units of both products instead of the demo")
    ] = None,
) -> None:
    """The images of the first run, or normal units of its two products to calibrate on; all generated."""
    from calibrate.embedded.samples.files import write_calibration, write_samples
    from calibrate.embedded.samples.products import PRODUCTS

    if calibration is None:
        write_samples(out)
        return
    for product in PRODUCTS:
        write_calibration(out / product, product, calibration)
