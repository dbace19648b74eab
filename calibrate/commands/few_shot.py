"""`calibrate few-shot`: what a memory of 1, 2, 4 … normal images is worth, beside zero-shot."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.options import AdapterOption, BackboneOption, DeviceOption, JsonOption, WeightsOption
from fbclip.errors import ConfigError
from fbclip.files import write_atomically

if TYPE_CHECKING:
    from calibrate.datasets.sample import Sample


def few_shot(
    data: Annotated[
        list[Path] | None,
        typer.Argument(help="data sets with a train split of normal images and a labelled test split"),
    ] = None,
    generated: Annotated[bool, typer.Option("--generated", help="generated lines as well")] = False,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="draws of each number of images")] = 5,
    tokens: Annotated[int | None, typer.Option(min=1, help="of a memory, at most")] = None,
    adapter: AdapterOption = None,
    backbone: BackboneOption = "embedded",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    out: Annotated[Path | None, typer.Option(help="file to write, *.json, for `calibrate report --few-shot`")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tables of the AUROC over the number of normal images in a memory: zero-shot, memory, both; 95 % intervals."""
    from calibrate.few_shot.curve import CONFIDENCE, average, measured
    from calibrate.few_shot.document import FewShot
    from calibrate.few_shot.experiment import COUNTS, RESAMPLES, Bench
    from calibrate.few_shot.text import table
    from calibrate.memory.build import default_tokens
    from fbclip.detector import open_detector
    from fbclip.memory.features import default_config

    if not data and not generated:
        raise ConfigError("name a data set, or --generated")
    detector = open_detector(backbone, weights, () if adapter is None else (adapter,), device)
    model = detector.backbone.config
    rng = np.random.default_rng(0)
    sets = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        roots = [*(data or []), *(_generate(Path(folder)) if generated else [])]
        task = progress.add_task("images", total=None)
        for name, samples in _classes(roots):
            limit = default_tokens(model) if tokens is None else tokens
            bench = Bench(detector, samples, default_config(model), limit, lambda n: progress.advance(task, n))
            counts = [*(c for c in COUNTS if c < bench.images), bench.images]
            sets.append(measured(name, list(bench.points(counts, seeds)), bench.images, bench.tested, rng))
            if not as_json:
                progress.console.print(f"{name}: done", markup=False)
                typer.echo(table(sets[-1].curve))
    found = FewShot(
        created=datetime.now(UTC).replace(microsecond=0),
        backbone=model.name,
        adapter=detector.adapters[0],
        confidence=CONFIDENCE,
        resamples=RESAMPLES,
        curves=tuple(one.curve for one in sets),
        mean=average(sets),
    )
    if out is not None:
        write_atomically(out, found.text().encode())
    if as_json:
        typer.echo(found.text(), nl=False)
    elif found.mean is not None:
        typer.echo(table(found.mean))


def _generate(folder: Path) -> list[Path]:
    from calibrate.embedded.samples.lines import LINES, write_line

    return [write_line(line, folder, train=40, normal=24, anomalous=24) for line in LINES]


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
