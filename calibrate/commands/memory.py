"""`calibrate memory`: normal images of a line -> a memory of what they look like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.options import (
    AdapterOption,
    BackboneOption,
    DeviceOption,
    JsonOption,
    LayoutOption,
    OverlapOption,
    PrecisionOption,
    RoiOption,
    SkipBadOption,
    TilesOption,
    UnitFromOption,
    WeightsOption,
    parse_framing,
)
from fbclip.errors import ConfigError

if TYPE_CHECKING:
    from calibrate.memory.build import Built
    from fbclip.memory.features import MemoryConfig


def memory(
    data: Annotated[Path, typer.Argument(help="data set; of one with splits, the normal images of train are used")],
    out: Annotated[Path, typer.Option(help="folder of the memory to write")],
    units: Annotated[
        str, typer.Option(help="normal units to take, as 40% or 200; the threshold takes others")
    ] = "100%",
    add: Annotated[Path | None, typer.Option(help="memory whose tokens are kept as well")] = None,
    tokens: Annotated[
        int | None, typer.Option(help="tokens to keep; default 4096 for the embedded backbone, else 10000")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="blocks to read, as 2,6; 0 is the stem; default: of --add, or by the backbone")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="cosine, or mahalanobis to whiten; default: of --add, or by the backbone")
    ] = None,
    neighbourhood: Annotated[
        str | None, typer.Option(help="sides of the squares whose means make a token, as 1,5; default likewise")
    ] = None,
    reach: Annotated[
        int | None, typer.Option(help="compare only so many patches around; for parts that always lie alike")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    keep_outliers: Annotated[
        bool, typer.Option("--keep-outliers", help="keep normal images that are unlike the others")
    ] = False,
    class_name: Annotated[str | None, typer.Option("--class", help="class of a data set that has several")] = None,
    layout: LayoutOption = "auto",
    unit_from: UnitFromOption = None,
    skip_bad: SkipBadOption = False,
    roi: RoiOption = None,
    tiles: TilesOption = None,
    overlap: OverlapOption = 0.2,
    adapter: AdapterOption = None,
    backbone: BackboneOption = "embedded",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    as_json: JsonOption = False,
) -> None:
    """Remember what normal images look like; `calibrate threshold --memory` finds out how much that helps."""
    from calibrate.datasets import read_data
    from calibrate.datasets.line_data import select
    from calibrate.inference import Skips
    from calibrate.memory.build import MemoryRequest, build_memory, default_tokens
    from calibrate.memory.unit_allocation import take_units
    from fbclip.detector import open_detector
    from fbclip.memory.bank import load_memory, save_memory
    from fbclip.memory.features import default_config

    framing = parse_framing(roi, tiles, overlap, None)
    base = None if add is None else load_memory(add)
    chosen = select(read_data(data, layout, unit_from), class_name, with_anomalous=False)
    samples, left = take_units(chosen.normal, units)
    detector = open_detector(backbone, weights, () if adapter is None else (adapter,), device, precision)
    model = detector.backbone.config
    start = None if base is None else base.manifest.config
    plan = MemoryRequest(
        _config(start or default_config(model), layers, metric, neighbourhood, reach),
        default_tokens(model) if tokens is None else tokens,
        seed,
        keep_outliers,
    )
    skips = Skips(skip_bad)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("looking at normal images", total=len(samples))
        built = build_memory(detector, samples, framing, plan, skips, lambda n: progress.advance(task, n), base)
    save_memory(built.memory, out)
    verdict = "kept" if keep_outliers else "left out"
    for note in (
        *chosen.notes,
        *built.notes,
        *(f"left out: {name}" for name in skips.skipped),
        *(f"unlike the other normal images, {verdict}: {line}" for line in built.outliers),
    ):
        typer.echo(note, err=True)
    typer.echo(json.dumps(_values(built, out, left)) if as_json else _text(built, out, left))


def _config(
    start: MemoryConfig, layers: str | None, metric: str | None, neighbourhood: str | None, reach: int | None
) -> MemoryConfig:
    """`start` with what the options change."""
    from fbclip.memory.features import MemoryConfig

    asked = {
        "layers": _numbers("--layers", layers),
        "metric": metric,
        "neighbourhood": _numbers("--neighbourhood", neighbourhood),
        "reach": reach,
    }
    try:
        return MemoryConfig.model_validate(start.model_dump() | {k: v for k, v in asked.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"--{first['loc'][0] if first['loc'] else 'layers'}: {first['msg']}") from error


def _numbers(option: str, text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{option} {text!r} must be numbers, such as 1,5") from error


def _values(built: Built, out: Path, left: int) -> dict[str, object]:
    manifest = built.memory.manifest
    return {
        "memory": str(out),
        "id": built.memory.id,
        "tokens": len(built.memory.tokens),
        "pictures": len(manifest.provenance["pictures"]),
        "config": manifest.config.model_dump(mode="json"),
        "outliers": list(built.outliers),
        "units_left": left,
    }


def _text(built: Built, out: Path, left: int) -> str:
    images = len(built.memory.manifest.provenance["pictures"])
    rest = (
        f"{left} normal units are left for `calibrate threshold --memory`"
        if left
        else ("no normal units are left: `calibrate threshold --memory` needs other images, or use --units 40%")
    )
    return f"{out}: {len(built.memory.tokens)} tokens of {images} normal images\n{rest}"
