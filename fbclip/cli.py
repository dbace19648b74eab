"""`fbclip info` and `fbclip verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from fbclip.adapter import load_adapter
from fbclip.command import guarded
from fbclip.weights import BACKBONES, EMBEDDED_DIR, find_weights, open_backbone

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
        "backbones": list(BACKBONES),
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
    from fbclip.verify import verify as run
    from fbclip.verify_report import show_deviations

    rows = run(case_dir, str(pick_device(device)))
    raise typer.Exit(0 if show_deviations(rows, as_json) else 1)


main = guarded(app)
