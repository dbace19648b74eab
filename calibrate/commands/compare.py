"""`calibrate compare`: folders of `calibrate evaluate` -> which is better, with intervals; or methods over one set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.options import (
    BackboneOption,
    DeviceOption,
    JsonOption,
    MethodOptions,
    ModelOptions,
    WeightsOption,
)
from fbclip.command import grouped
from fbclip.errors import ConfigError


@dataclass(frozen=True)
class MethodRuns:
    """Methods that are evaluated now, each into a folder of its own, and compared with the other runs."""

    method: Annotated[
        list[str] | None, typer.Option(help="evaluate this method on --data first; repeatable, the first is the base")
    ] = None
    adapter: Annotated[
        list[Path] | None, typer.Option(help="adapter of a --method that needs one; repeatable, in the same order")
    ] = None
    data: Annotated[Path | None, typer.Option(help="labelled data set for --method")] = None
    into: Annotated[Path | None, typer.Option(help="folder in which each --method gets a run's folder")] = None
    product: Annotated[str | None, typer.Option(help="what prompts call the product; default: the class")] = None
    backbone: BackboneOption = "embedded"
    weights: WeightsOption = None
    device: DeviceOption = "auto"

    def evaluate(self) -> list[Path]:
        """The folders of the runs, made now. Raises ConfigError for options that do not go together."""
        if not self.method:
            if self.adapter or self.data or self.into or self.product:
                raise ConfigError("--adapter, --data, --into and --product belong to --method")
            return []
        if self.data is None or self.into is None:
            raise ConfigError("--method needs --data, the labelled set, and --into, a folder for the runs")
        if len(set(self.method)) < len(self.method):
            raise ConfigError("--method names one method twice")
        given = self._adapters(self.method)
        return [self._run(self.data, self.into / name, name, given.get(name)) for name in self.method]

    def _adapters(self, methods: Sequence[str]) -> dict[str, Path]:
        """Each adapter to the method that it says it is of."""
        from fbclip.artefacts.adapter import load_adapter

        found: dict[str, Path] = {}
        for folder in self.adapter or ():
            name = load_adapter(folder).manifest.method_name
            if name not in methods or name in found:
                raise ConfigError(f"--adapter {folder}: is of method {name}, which needs one --method {name}")
            found[name] = folder
        return found

    def _run(self, data: Path, out: Path, method: str, adapter: Path | None) -> Path:
        from calibrate.datasets.reader import read_data
        from calibrate.evaluation.request import images_of
        from calibrate.evaluation.run import EvaluationRun, check_out, run_evaluation

        check_out(out, data)
        model = ModelOptions(adapter, self.backbone, self.weights, self.device)
        judge = MethodOptions(method)
        if judge.needs_classes(model):
            judge = replace(judge, product=self.product)
        found = read_data(data)
        products = judge.products(model, found.classes)
        run = EvaluationRun(found, out, partial(judge.open, model, products), products, adapter)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            total = sum(s.label is not None for s in images_of(found, None)[0])
            task = progress.add_task(f"judging images by {method}", total=total)
            run_evaluation(run, lambda n: progress.advance(task, n))
        return out


@grouped
def compare(
    methods: MethodRuns,
    runs: Annotated[
        list[Path] | None, typer.Argument(help="run folders over the same data; the first is the base")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write, *.md")] = None,
    as_json: JsonOption = False,
) -> None:
    """Paired bootstrap over units of image AUROC and AP; the other numbers side by side."""
    from calibrate.evaluation import compare as comparison
    from calibrate.evaluation.markdown import comparison_text
    from fbclip.files import write_atomically

    folders = [*(runs or []), *methods.evaluate()]
    found = comparison.compare([comparison.read_compared(folder) for folder in folders])
    text = comparison_text(found)
    if out is not None:
        write_atomically(out, text.encode())
    typer.echo(json.dumps(found.as_dict()) if as_json else text.rstrip())
