"""`calibrate few-shot`: what a memory of 1, 2, 4 … good pictures is worth, beside zero-shot."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.options import AdapterOption, BackboneOption, DeviceOption, JsonOption, WeightsOption
from fbclip.errors import ConfigError

if TYPE_CHECKING:
    from calibrate.datasets.sample import Sample


def few_shot(
    data: Annotated[
        list[Path] | None,
        typer.Argument(help="data sets with a train split of good pictures and a labelled test split"),
    ] = None,
    generated: Annotated[bool, typer.Option("--generated", help="generated lines as well")] = False,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="draws of each number of pictures")] = 5,
    tokens: Annotated[int | None, typer.Option(min=1, help="of a memory, at most")] = None,
    adapter: AdapterOption = None,
    backbone: BackboneOption = "embedded",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Tables of the AUROC over the number of good pictures in a memory: zero-shot, memory, both."""
    from calibrate.memory.build import default_config, default_tokens
    from calibrate.memory.fewshot import COUNTS, Bench
    from calibrate.memory.fewshot_text import average, table, values
    from fbclip.detector import open_detector

    if not data and not generated:
        raise ConfigError("name a data set, or --generated")
    detector = open_detector(backbone, weights, () if adapter is None else (adapter,), device)
    model = detector.backbone.config
    curves = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        roots = [*(data or []), *(_generate(Path(folder)) if generated else [])]
        task = progress.add_task("pictures", total=None)
        for name, samples in _classes(roots):
            limit = default_tokens(model) if tokens is None else tokens
            bench = Bench(detector, samples, default_config(model), limit, lambda n: progress.advance(task, n))
            counts = [*(c for c in COUNTS if c < bench.pictures), bench.pictures]
            curves[name] = list(bench.points(counts, seeds))
            if not as_json:
                progress.console.print(f"{name}: done", markup=False)
                typer.echo(table(name, curves[name], bench.pictures))
    if as_json:
        typer.echo(json.dumps({name: values(points) for name, points in curves.items()}))
    elif len(curves) > 1:
        typer.echo(average(curves))


def _generate(folder: Path) -> list[Path]:
    from calibrate.memory.lines import LINES, write_line

    return [write_line(line, folder, train=40, good=24, bad=24) for line in LINES]


def _classes(roots: list[Path]) -> list[tuple[str, list[Sample]]]:
    """Every class of every data set by name."""
    from calibrate.datasets import read_data

    found = []
    for root in roots:
        data = read_data(root)
        for name in data.classes:
            shown = root.name if len(data.classes) == 1 else f"{root.name}/{name}"
            found.append((shown, [s for s in data.samples if s.class_name == name]))
    return found
