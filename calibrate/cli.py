"""`calibrate threshold`, `pretrain`, `samples`, `import` and `verify`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.bounds import supported_alpha
from calibrate.errors import CalibrateError
from fbclip.command import guarded
from fbclip.errors import ConfigError, FbclipError
from fbclip.preprocess import Roi

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
AdapterOption = Annotated[Path | None, typer.Option(help="adapter directory; default: the embedded one")]
BackboneOption = Annotated[str, typer.Option(help="embedded or ViT-L-14-336")]
WeightsOption = Annotated[Path | None, typer.Option(help="local file of the backbone's weights")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda[:N]")]


@app.callback()
def _root() -> None:
    """Offline tool: thresholds with a guarantee, tuned adapters, and the training of the embedded model."""


@app.command()
def threshold(
    data: Annotated[Path, typer.Argument(help="folder of good pictures, or one with good/ or train/good/ inside")],
    line: Annotated[str, typer.Option(help="name of the line in agent.yaml")],
    out: Annotated[Path, typer.Option(help="profile to write, *.yaml")],
    false_alarm: Annotated[float, typer.Option(help="largest share of good units that may alarm")] = 0.01,
    confidence: Annotated[float, typer.Option(help="probability that this holds")] = 0.95,
    uncertain: Annotated[
        float | None, typer.Option(help="share of good units that may be uncertain; default 5 x false-alarm")
    ] = None,
    unit_from: Annotated[
        str | None, typer.Option(help="regular expression: the part of a file name that names its unit")
    ] = None,
    roi: Annotated[str | None, typer.Option(help="x1,y1,x2,y2 as fractions of the frame")] = None,
    min_area: Annotated[int | None, typer.Option(help="smallest region in map pixels", min=1)] = None,
    pixel_only: Annotated[bool, typer.Option(help="judge by the map alone")] = False,
    best_effort: Annotated[bool, typer.Option(help="write a profile without a guarantee if need be")] = False,
    adapter: AdapterOption = None,
    backbone: BackboneOption = "embedded",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Good pictures -> a profile whose false-alarm rate is bounded; refused when they are too few."""
    from calibrate.line_profile import Request, make_profile
    from calibrate.pictures import read_good
    from calibrate.thresholds import Wish
    from fbclip.detector import open_detector
    from fbclip.profile import save_profile

    if not re.fullmatch(r"[a-z0-9_-]{1,64}", line):
        raise ConfigError(f"--line {line!r} must be of a-z, 0-9, _ and -")
    wish = Wish(false_alarm, confidence, min(0.5, 5 * false_alarm) if uncertain is None else uncertain)
    request = Request(line, data, wish, unit_from, _parse_roi(roi), min_area, pixel_only, best_effort)
    total = len(read_good(data, unit_from))
    detector = open_detector(backbone, weights, () if adapter is None else (adapter,), device)
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("judging good pictures", total=total)
        profile = make_profile(detector, next(iter(detector.smoothing)), request, lambda n: progress.advance(task, n))
    save_profile(profile, out)
    c = profile.calibration
    if as_json:
        typer.echo(json.dumps({"profile": str(out), "id": profile.id, **profile.model_dump(mode="json")}))
        return
    typer.echo(
        f"{out}: threshold {profile.threshold:.4f} from {c.n_good} good units ({c.n_constants} more set the scale)"
    )
    if c.guarantee is not None:
        typer.echo(
            f"guarantee: with {confidence:.0%} confidence at most {c.guarantee.false_alarm_rate:.2%} "
            f"of good units alarm ({c.exceedances} of {c.n_good} lie above the threshold)"
        )
    else:
        typer.echo(
            f"guarantee: none. {c.n_good} good units can only show that at most "
            f"{supported_alpha(c.n_good, confidence):.1%} alarm, with {confidence:.0%} confidence"
        )


def _parse_roi(text: str | None) -> Roi | None:
    from pydantic import ValidationError

    if text is None:
        return None
    try:
        x1, y1, x2, y2 = (float(v) for v in text.split(","))
        return Roi(x1=x1, y1=y1, x2=x2, y2=y2)
    except (ValueError, ValidationError):
        raise ConfigError(f"--roi {text!r} must be x1,y1,x2,y2 with 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1") from None


@app.command("import")
def import_(
    checkpoint: Annotated[Path, typer.Argument(help="the authors' .pth file")],
    out: Annotated[Path, typer.Option(help="adapter directory to write")],
    backbone: BackboneOption = "ViT-L-14-336",
    weights: WeightsOption = None,
) -> None:
    """An FB-CLIP checkpoint in the authors' format -> an adapter with its prototypes."""
    from calibrate.importing import import_adapter
    from fbclip.adapter import save_adapter
    from fbclip.weights import find_weights

    adapter = import_adapter(checkpoint, find_weights(backbone, weights))
    save_adapter(adapter, out)
    typer.echo(f"{out}: adapter {adapter.id[:12]} for {backbone}")


@app.command()
def verify(
    case_dir: Annotated[Path, typer.Argument(help="golden training case")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Losses, gradients and parameters of a golden case's optimiser steps; exit 1 beyond tolerance."""
    from calibrate.verify import verify_training
    from fbclip.verify_report import show_deviations

    rows = verify_training(case_dir)
    raise typer.Exit(0 if show_deviations(rows, as_json) else 1)


@app.command()
def pretrain(
    cache: Annotated[Path, typer.Option(help="folder for generated pictures and the training state; resumable")],
    out: Annotated[Path, typer.Option(help="folder for backbone, adapter and provenance")],
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps of the backbone")] = 3500,
    pictures: Annotated[int, typer.Option(min=1, help="generated pictures for the backbone")] = 12_000,
    adapter_pictures: Annotated[int, typer.Option(min=16, help="generated pictures for the adapter")] = 2400,
    adapter_epochs: Annotated[int, typer.Option(min=1)] = 3,
    adapter_only: Annotated[bool, typer.Option(help="keep the backbone in OUT and train its adapter anew")] = False,
    seed: int = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
    machine: Annotated[str, typer.Option(help="kind of machine, for the provenance")] = "CPU",
    device: Annotated[str, typer.Option(help="cpu or cuda[:N]")] = "cpu",
) -> None:
    """Train the embedded model from nothing: a small CLIP on generated pictures, then its adapter."""
    import logging

    from calibrate.pretrain import pretrain_backbone
    from calibrate.pretrain_adapter import train_adapter
    from calibrate.training import Recipe
    from fbclip.adapter import save_adapter
    from fbclip.weights import find_weights

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(threads)
    if not adapter_only:
        pretrain_backbone(
            cache=cache, out=out, steps=steps, pictures=pictures, seed=seed, device=device, machine=machine
        )
    recipe = Recipe(epochs=adapter_epochs, learning_rate=5e-4, seed=seed)
    weights = find_weights("embedded", out / "backbone.safetensors")
    adapter = train_adapter(weights, cache, adapter_pictures, recipe, 16, device, 20)
    save_adapter(adapter, out / "adapter")
    typer.echo(f"{out}: adapter {adapter.id[:12]}")


@app.command()
def samples(
    out: Annotated[Path, typer.Option(help="folder to write")],
    calibration: Annotated[
        int | None, typer.Option(min=1, help="write so many good units of both products instead of the demo")
    ] = None,
) -> None:
    """The pictures of the first run, or good units of its two products to calibrate on; all generated."""
    from calibrate.synthesis.sample_files import write_calibration, write_samples
    from calibrate.synthesis.samples import PRODUCTS

    if calibration is None:
        write_samples(out)
        return
    for product in PRODUCTS:
        write_calibration(out / product, product, calibration)


main = guarded(app, failures=(CalibrateError, FbclipError), usage=(ConfigError,))
