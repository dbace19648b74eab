"""`fbclip info`, `fetch`, `verify`, `export` and `bench`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from fbclip.backbone.config import ExportFormat, Precision
from fbclip.command import grouped, guarded
from fbclip.features.catalog import Features

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

AsJson = Annotated[bool, typer.Option("--json", help="one JSON object")]


@app.callback()
def _root() -> None:
    """FB-CLIP detector: what is installed, and does it compute what it should."""


@app.command()
def info(as_json: AsJson = False) -> None:
    """The embedded model with its provenance, the known backbones and the device at hand."""
    from fbclip.installation import installation

    facts = installation().model_dump_json()
    if as_json:
        typer.echo(facts)
    else:
        Console().print_json(facts)


@app.command()
def fetch(
    backbone: Annotated[str, typer.Argument(help="ViT-L-14-336 or another ViT of open_clip")],
    to: Annotated[Path | None, typer.Option(help="folder; default: where every command looks by itself")] = None,
    tag: Annotated[str | None, typer.Option(help="which training, where there are several")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="also a file whose sha256 nobody states")] = False,
) -> None:
    """A backbone's published weights, checked by sha256; cut short, the same command goes on."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    from fbclip.backbone.catalog import backbone_config
    from fbclip.backbone.config import EMBEDDED
    from fbclip.backbone.fetch import fetch as fetched
    from fbclip.backbone.fetch import weights_cache
    from fbclip.backbone.sources import weights_sources
    from fbclip.errors import ConfigError

    config = backbone_config(backbone)
    if config.name == EMBEDDED.name:
        raise ConfigError("the weights of embedded are inside the package; there is nothing to fetch")
    sources = weights_sources(config, tag)
    bar = Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task("", total=None)
        path = fetched(
            sources,
            to or weights_cache(),
            trust,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            tried=lambda problem: bar.console.print(problem, markup=False, soft_wrap=True),
        )
    typer.echo(f"{path}: checked")
    if to is not None:
        typer.echo(f"name it in agent.yaml as model.weights: {to}, or with --weights {to}")


@app.command()
def verify(
    case_dir: Annotated[
        Path | None, typer.Argument(help="forward, preprocess or compared method's case; none: the package's own")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu or cuda[:N]; default: cpu, and without a case every one")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Largest deviation of every golden tensor; exit 1 beyond tolerance.

    Without a case this installation tests itself, on every device and in every precision.
    """
    from fbclip.runtime import pick_device
    from fbclip.verification.golden import verify as deviations
    from fbclip.verification.report import show_deviations, show_self_test
    from fbclip.verification.self_test import devices, self_test

    if case_dir is None:
        on = devices() if device is None else [str(pick_device(device))]
        raise typer.Exit(0 if show_self_test(self_test(on), as_json) else 1)
    rows = deviations(case_dir, str(pick_device(device or "cpu")))
    raise typer.Exit(0 if show_deviations(rows, as_json) else 1)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="folder for the graphs, which an earlier export there makes room for")],
    format: Annotated[ExportFormat, typer.Option(help="onnx for ONNX Runtime, openvino for OpenVINO")] = "openvino",
    precision: Annotated[
        Precision, typer.Option(help="of the matrix products; a threshold belongs to one")
    ] = "float32",
    calibration: Annotated[Path | None, typer.Option(help="for int8: folder of the line's normal images")] = None,
    backbone: Annotated[str, typer.Option(help="embedded, ViT-L-14-336 or another ViT of open_clip")] = "embedded",
    weights: Annotated[Path | None, typer.Option(help="local file of the backbone's weights")] = None,
    adapter: Annotated[
        list[Path] | None, typer.Option(help="adapter directory, again for more; default: the embedded one")
    ] = None,
    memory: Annotated[list[Path] | None, typer.Option(help="memory that asks for further layers; repeatable")] = None,
    as_json: AsJson = False,
) -> None:
    """The model with its adapters as graphs for another runtime; `calibrate parity` gives it a threshold of its own."""
    from fbclip.export.run import ExportRequest
    from fbclip.export.run import export as exported

    request = ExportRequest(
        format=format,
        out=out,
        precision=precision,
        backbone=backbone,
        weights=weights,
        adapters=tuple(adapter or ()),
        memories=tuple(memory or ()),
        calibration=calibration,
    )
    manifest = exported(request, lambda text: typer.echo(text, err=True))
    if as_json:
        typer.echo(json.dumps({"export": str(out), "id": manifest.id, **manifest.model_dump(mode="json")}))
        return
    typer.echo(f"{out}: export {manifest.id[:12]} of {manifest.backbone.name} in {precision} for {manifest.runtime}")
    typer.echo(f"run it with model.runtime: {manifest.runtime}, model.precision: {precision}, model.export: {out}")


@dataclass(frozen=True)
class TimedModel:
    """What `bench` runs."""

    backbone: Annotated[str, typer.Option(help="embedded, ViT-L-14-336 or another ViT of open_clip")] = "embedded"
    random_weights: Annotated[bool, typer.Option("--random-weights", help="real dimensions without weights")] = False
    weights: Annotated[Path | None, typer.Option(help="local file of the backbone's weights")] = None
    size: Annotated[int | None, typer.Option(min=1, help="side of the input in pixels")] = None
    device: Annotated[
        str | None,
        typer.Option(help="auto, cpu or cuda[:N]; named, a table of it beside what it could do at most; default: auto"),
    ] = None
    precision: Annotated[
        Precision | None, typer.Option(help="of the matrix products; default: float32, in a table all")
    ] = None
    memory: Annotated[int, typer.Option(min=0, help="also ask a memory of so many tokens")] = 0
    features: Annotated[
        Features | None, typer.Option(help="what that memory looks with: backbone or imagenet; default: what suits it")
    ] = None


@app.command()
@grouped
def bench(
    model: TimedModel,
    batch: Annotated[list[int] | None, typer.Option(min=1, max=256, help="batch size, again for more; 1")] = None,
    repeats: Annotated[int, typer.Option(min=1, max=1000)] = 5,
    runtime: Annotated[
        Literal["torch", "all"], typer.Option(help="all: every runtime and precision of this machine beside each other")
    ] = "torch",
    keep: Annotated[
        Path | None,
        typer.Option(help="with --runtime all: folder of rows and exports; the same command goes on in it"),
    ] = None,
    row_seconds: Annotated[
        float, typer.Option(min=1, help="with --runtime all: no repeat of a row begins later; one is timed always")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Bare backbone beside the whole forward: medians, ratio, stages and peak memory.

    With --runtime all a table of what the whole forward takes, each row as a ratio to float32 in torch; with --device
    a table of that device, on a GPU of ViT-L-14-336 with random weights as well, in less than three minutes.
    """
    from fbclip.bench.benchmark import TimedMemory, open_parts
    from fbclip.bench.benchmark import bench as timed
    from fbclip.bench.device_table import device_precisions, device_table, table_models
    from fbclip.engines.processor import slow_precision
    from fbclip.runtime import pick_device

    device, precision = pick_device(model.device or "auto"), model.precision or "float32"
    backbone, head = open_parts(model.backbone, model.size, model.weights, model.random_weights)
    asked = TimedMemory(model.memory, model.features) if model.memory else None

    def note(text: str) -> None:
        typer.echo(text, err=True)

    if runtime == "all":
        from fbclip.bench.runtimes import compare_runtimes

        rows = compare_runtimes(backbone, head, (batch or [1])[0], repeats, asked, note, keep, row_seconds)
        typer.echo(json.dumps(asdict(rows)) if as_json else rows.text())
        return
    slow = slow_precision("torch", precision)
    if slow is not None and device.type == "cpu":
        typer.echo(slow, err=True)
    table = None
    if model.device not in {None, "auto"}:
        table = device_table(
            table_models(backbone, head, device, model.random_weights),
            device,
            batch or ([1, 8] if device.type == "cuda" else [1]),
            [None, asked or TimedMemory(4096)] if device.type == "cuda" else [asked],
            repeats,
            device_precisions(device) if model.precision is None else (model.precision,),
            note,
        )
    result = timed(backbone, head, batch or [1], device, repeats, precision, asked)
    if as_json:
        empty = {"roofline": None, "rows": (), "notes": ()}
        typer.echo(json.dumps(asdict(result) | (empty if table is None else asdict(table))))
        return
    typer.echo(result.text() if table is None else f"{result.text()}\n{table.text()}")


main = guarded(app)
