"""`calibrate paper`: the paper's protocol by one command -> the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.options import BackboneOption, DeviceOption, SkipBadOption, TrustOption, WeightsOption
from fbclip.command import grouped


@dataclass(frozen=True)
class PaperOptions:
    """What is compared, and how it is tuned."""

    method: Annotated[
        list[str] | None,
        typer.Option(
            help="a row more: vanilla, clipad, winclip; anomalyclip, afclip, faprompt, tuned on --train; repeatable"
        ),
    ] = None
    adapter: Annotated[
        list[Path] | None,
        typer.Option(help="a row by this adapter, such as an imported one; repeatable"),
    ] = None
    ablation: Annotated[bool, typer.Option("--ablation", help="rows of the parts as well, and base CLIP")] = False
    seeds: Annotated[int, typer.Option(min=1, max=20, help="tunings of each row that is tuned")] = 1
    epochs: Annotated[int | None, typer.Option(min=1, max=1000, help="default: each method's authors'")] = None
    size: Annotated[int | None, typer.Option(min=1, help="side of the input in pixels; default: the paper's")] = None


@grouped
def paper(
    train: Annotated[str, typer.Option(help="NAME=FOLDER: set on whose test split FB-CLIP is tuned")],
    test: Annotated[list[str], typer.Option(help="NAME=FOLDER: set to evaluate on; repeatable")],
    out: Annotated[
        Path, typer.Option(help="folder of adapters, runs, tables and report.html; the same command goes on")
    ],
    options: PaperOptions,
    backbone: BackboneOption = "ViT-L-14-336",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    trust: TrustOption = False,
    skip_bad: SkipBadOption = False,
) -> None:
    """Tune on one set, evaluate on others, FB-CLIP beside the methods it is compared with, by both definitions.

    Under torchrun several processes share the tuning and the images.
    """
    from calibrate.methods import check_method
    from calibrate.paper.protocol import PaperRequest, named_sets, rows_of
    from calibrate.paper.run import run_paper
    from calibrate.paper.table import paper_text
    from calibrate.processes import processes
    from calibrate.report.paper import paper_page
    from fbclip.artefacts.adapter import load_adapter
    from fbclip.files import write_atomically

    with processes() as group:
        adapters = {load_adapter(folder).manifest.method_name: folder for folder in options.adapter or ()}
        for method in options.method or ():
            check_method(method)
        rows = rows_of([*(options.method or ()), *adapters], adapters, options.ablation)
        [trained_on] = named_sets([train], "--train").items()
        request = PaperRequest(
            train=trained_on,
            test=named_sets(test, "--test"),
            rows=rows,
            backbone=backbone,
            weights=weights,
            device=group.device(device),
            out=out,
            seeds=options.seeds,
            epochs=options.epochs,
            size=options.size,
            trust=trust,
            skip_bad=skip_bad,
        )
        with Progress(console=Console(stderr=True), transient=True, disable=not group.first) as progress:
            task = progress.add_task("reading", total=None)

            def report(what: str, done: int, total: int) -> None:
                progress.update(task, description=what, completed=done, total=total)

            def notify(note: str) -> None:
                if group.first:
                    progress.console.print(note, markup=False, highlight=False, soft_wrap=True)

            sets = run_paper(request, report, group, notify)
        if group.first:
            text = paper_text(sets, trained_on[0])
            write_atomically(out / "table.md", text.encode())
            write_atomically(out / "report.html", paper_page(sets, trained_on[0]).encode())
            typer.echo(text.rstrip())
