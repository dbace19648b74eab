"""`calibrate few-shot`: what a memory of 1, 2, 4 … normal images is worth, beside zero-shot."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.options import (
    FeaturesOption,
    JsonOption,
    MethodOptions,
    ModelOptions,
)
from fbclip.command import grouped
from fbclip.errors import ConfigError
from fbclip.files import write_atomically

if TYPE_CHECKING:
    from calibrate.few_shot.document import Curve


@grouped
def few_shot(
    model: ModelOptions,
    judge: MethodOptions,
    data: Annotated[
        list[Path] | None,
        typer.Argument(help="data sets with a train split of normal images and a labelled test split"),
    ] = None,
    generated: Annotated[bool, typer.Option("--generated", help="generated lines as well")] = False,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="draws of each number of images")] = 5,
    tokens: Annotated[int | None, typer.Option(min=1, help="of a memory, at most")] = None,
    features: FeaturesOption = None,
    out: Annotated[Path | None, typer.Option(help="file to write, *.json, for `calibrate report --few-shot`")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tables of the AUROC over the number of normal images in a memory: zero-shot, memory, both; 95% intervals."""
    from calibrate.few_shot.run import FewShotRequest, run_few_shot, table
    from calibrate.methods import adapters_by_class

    if not data and not generated:
        raise ConfigError("name a data set, or --generated")
    model = model.resolved()
    console = Console(stderr=True)

    def show(curve: Curve) -> None:
        if not as_json:
            console.print(f"{curve.name}: done", markup=False)
            typer.echo(table(curve))

    with tempfile.TemporaryDirectory() as folder, Progress(console=console, transient=True) as progress:
        roots = [*(data or []), *(_generate(Path(folder)) if generated else [])]
        task = progress.add_task("images", total=None)
        products = judge.products(model, _class_names(roots) if judge.needs_classes(model) else ())
        detector = judge.open(model, products)
        request = FewShotRequest(roots, seeds, tokens, features, adapters_by_class(detector, products))
        found = run_few_shot(detector, request, lambda n: progress.advance(task, n), show)
    if out is not None:
        write_atomically(out, found.text().encode())
    if as_json:
        typer.echo(found.text(), nl=False)
    elif found.mean is not None:
        typer.echo(table(found.mean))


def _class_names(roots: Sequence[Path]) -> list[str]:
    from calibrate.datasets.reader import read_data

    return list(dict.fromkeys(name for root in roots for name in read_data(root).classes))


def _generate(folder: Path) -> list[Path]:
    from calibrate.embedded.samples.lines import LINES, write_line

    return [write_line(line, folder, train=40, normal=24, anomalous=24) for line in LINES]
