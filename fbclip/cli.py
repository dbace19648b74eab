"""`fbclip info`, `verify` and `bench`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from fbclip.artefacts.adapter import load_adapter
from fbclip.backbone.catalog import usable_backbones
from fbclip.backbone.config import Precision
from fbclip.backbone.weights import EMBEDDED_DIR, find_weights, open_backbone
from fbclip.command import guarded

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """FB-CLIP detector: what is installed, and does it compute what it should."""


@app.command()
def info(as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False) -> None:
    """The embedded model with its provenance, the known backbones and the device at hand."""
    adapter = load_adapter(EMBEDDED_DIR / "adapter")
    _, digest = open_backbone(find_weights("embedded"), adapter.manifest.method.image_size)
    record = EMBEDDED_DIR / "provenance.json"
    facts = {
        "torch": torch.__version__,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "backbones": usable_backbones(),
        "embedded": {
            "adapter": adapter.id,
            "backbone_sha256": digest,
            "tuned_on_same_weights": digest == adapter.manifest.backbone_sha256,
            "backbone": adapter.manifest.backbone.model_dump(),
            "method": adapter.manifest.method.model_dump(),
            "backbone_provenance": json.loads(record.read_text(encoding="utf-8")) if record.is_file() else None,
            "adapter_provenance": dict(adapter.manifest.provenance),
        },
    }
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        Console().print_json(data=facts)


@app.command()
def verify(
    case_dir: Annotated[Path, typer.Argument(help="forward or preprocess case")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda[:N]")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Largest deviation of every golden tensor; exit 1 beyond tolerance."""
    from fbclip.detector import pick_device
    from fbclip.verification.golden import verify as run
    from fbclip.verification.report import show_deviations

    rows = run(case_dir, str(pick_device(device)))
    raise typer.Exit(0 if show_deviations(rows, as_json) else 1)


@app.command()
def bench(
    backbone: Annotated[str, typer.Option(help="embedded, ViT-L-14-336 or another ViT of open_clip")] = "embedded",
    random_weights: Annotated[bool, typer.Option("--random-weights", help="real dimensions without weights")] = False,
    weights: Annotated[Path | None, typer.Option(help="local file of the backbone's weights")] = None,
    size: Annotated[int | None, typer.Option(min=1, help="side of the input in pixels")] = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, max=256, help="batch size, again for more; 1")] = None,
    repeats: Annotated[int, typer.Option(min=1, max=1000)] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda[:N]")] = "auto",
    precision: Annotated[Precision, typer.Option(help="of the matrix products")] = "float32",
    memory: Annotated[int, typer.Option(min=0, help="also ask a memory of so many tokens")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Bare backbone beside the whole forward: medians, ratio, stages and peak memory."""
    from fbclip.backbone.catalog import backbone_config
    from fbclip.bench.benchmark import bench as run
    from fbclip.bench.benchmark import random_parts
    from fbclip.detector import pick_device
    from fbclip.method.defaults import method_for
    from fbclip.method.model import Head

    config = backbone_config(backbone)
    method = method_for(config, size)
    if random_weights:
        tower, head = random_parts(config, method)
    else:
        tower, _ = open_backbone(find_weights(backbone, weights), method.image_size)
        head = Head(config.width, method).requires_grad_(False).eval()
    result = run(tower, head, batch or [1], pick_device(device), repeats, precision, memory)
    if as_json:
        typer.echo(json.dumps(asdict(result)))
        return
    typer.echo(f"{result.backbone} at {result.size} px, {result.precision}, {result.device}, {result.threads} threads")
    for row in result.batches:
        stages = "  ".join(f"{name} {ms:.1f}" for name, ms in row.stages.items())
        typer.echo(
            f"batch {row.batch}: backbone {row.backbone_ms:.1f} ms, forward {row.forward_ms:.1f} ms, "
            f"ratio {row.ratio:.3f}, {row.images_per_s:.1f} images/s ({stages} ms)"
        )
        if memory:
            growth = row.stages["memory"] / (row.forward_ms - row.stages["memory"])
            typer.echo(f"batch {row.batch}: a memory of {memory} tokens adds {growth:.1%} to the forward")
    typer.echo(f"one image: decode {result.stages['decode']:.1f} ms, preprocess {result.stages['preprocess']:.1f} ms")
    gpu = "" if result.peak_gpu_mb is None else f", of the GPU {result.peak_gpu_mb:.0f} MiB"
    typer.echo(f"peak memory of the process {result.peak_rss_mb:.0f} MiB{gpu}")


main = guarded(app)
