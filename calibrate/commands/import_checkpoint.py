"""`calibrate import`: the authors' checkpoint -> an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibrate.commands.options import BackboneOption, WeightsOption


def import_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="the authors' .pth file")],
    out: Annotated[Path, typer.Option(help="adapter directory to write")],
    backbone: BackboneOption = "ViT-L-14-336",
    weights: WeightsOption = None,
) -> None:
    """An FB-CLIP checkpoint in the authors' format -> an adapter with its prototypes."""
    from calibrate.tuning.parameters import import_adapter
    from fbclip.artefacts.adapter import save_adapter
    from fbclip.backbone.weights import find_weights

    adapter = import_adapter(checkpoint, find_weights(backbone, weights))
    save_adapter(adapter, out)
    typer.echo(f"{out}: adapter {adapter.id[:12]} for {backbone}")
