"""`calibrate precision`: what a lower precision changes on a set of images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.options import (
    AdapterOption,
    BackboneOption,
    ConfigOption,
    DeviceOption,
    JsonOption,
    LayoutOption,
    LineOption,
    ModelOptions,
    WeightsOption,
)
from fbclip.backbone.config import Precision


def precision(
    data: Annotated[Path, typer.Argument(help="images in any layout; labels give the AUROC")],
    lower: Annotated[Precision, typer.Option("--precision", help="compared with float32")] = "bfloat16",
    layout: LayoutOption = "auto",
    limit: Annotated[int, typer.Option(min=1, help="at most so many images, evenly spread")] = 200,
    adapter: AdapterOption = None,
    backbone: BackboneOption = "embedded",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    config: ConfigOption = None,
    line: LineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mask flips, largest differences of margins and maps, and the AUROC, beside float32."""
    from calibrate.datasets import read_data
    from calibrate.evaluation.precision import precision_effect
    from calibrate.inference import Skips
    from fbclip.artefacts.adapter import load_adapter
    from fbclip.artefacts.generation import weights_for
    from fbclip.backbone.weights import EMBEDDED_DIR
    from fbclip.errors import ConfigError
    from fbclip.runtime import pick_device

    model = ModelOptions(adapter, backbone, weights, device, config=config, line=line).resolved()
    if model.adapter is None and model.backbone != "embedded":
        raise ConfigError(f"backbone {model.backbone} needs --adapter (`calibrate import` makes one)")
    samples = read_data(data, layout).samples
    samples = samples[:: -(-len(samples) // limit)]
    loaded = load_adapter(model.adapter or EMBEDDED_DIR / "adapter")
    file, skips = weights_for(model.backbone, model.weights, model.adapter), Skips(allowed=True)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("both precisions", total=len(samples))
        effect = precision_effect(
            file, loaded, samples, lower, pick_device(model.device), skips, lambda: progress.advance(task)
        )
    for skipped in skips.skipped:
        typer.echo(f"left out: {skipped}", err=True)
    values = effect.model_dump(mode="json", by_alias=True)
    if as_json:
        typer.echo(json.dumps(values))
        return
    for name, value in values.items():
        typer.echo(f"{name:20} {_text(value)}")


def _text(value: object) -> str:
    return "n/a" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
