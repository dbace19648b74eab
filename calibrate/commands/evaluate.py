"""`calibrate evaluate`: a detector over a labelled data set -> a folder of numbers and images."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.framing_options import FramingOptions
from calibrate.commands.options import DataOptions, JsonOption, MethodOptions, ModelOptions, SkipBadOption
from fbclip.command import grouped


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated, and by what."""

    profile: Annotated[Path | None, typer.Option(help="profile whose verdicts are counted, *.yaml")] = None
    memory: Annotated[
        Path | None,
        typer.Option(help="memory, or a folder of normal images to make one of for this run, here or in DATA"),
    ] = None
    split: Annotated[
        Literal["test", "train", "all"] | None, typer.Option(help="default: test if there is one, else all")
    ] = None
    paper: Annotated[bool, typer.Option("--paper", help="the authors' definitions, on probabilities")] = False
    skip_bad: SkipBadOption = False
    worst: Annotated[int, typer.Option(help="false alarms and misses to draw, each", min=0)] = 8


@grouped
def evaluate(
    data: Annotated[Path, typer.Argument(help="labelled data set; of one with splits, test is used")],
    out: Annotated[Path, typer.Option(help="folder to write; an earlier run in it is replaced")],
    options: EvaluationOptions,
    model: ModelOptions,
    judge: MethodOptions,
    reading: DataOptions,
    framing: FramingOptions,
    as_json: JsonOption = False,
) -> None:
    """Image and pixel numbers of every class, and with a profile its false alarms and misses.

    Under torchrun several processes share the images.
    """
    from calibrate.datasets.slices import with_slices
    from calibrate.evaluation.folder import SUMMARY_FILE
    from calibrate.evaluation.request import images_of
    from calibrate.evaluation.run import EvaluationRun, check_out, public_command, share_evaluation
    from calibrate.processes import processes
    from fbclip.artefacts.profile_file import load_profile

    with processes() as group:
        check_out(out, data)
        model = model.resolved()
        model = replace(model, device=group.device(model.device))
        frames, profile = framing.framing(), None if options.profile is None else load_profile(options.profile)
        found_data = with_slices(reading.read(data))
        products = judge.products(model, found_data.classes)
        profiles = () if options.profile is None else (options.profile,)
        run = EvaluationRun(
            data=found_data,
            out=out,
            open_detector=partial(judge.open, model, products, profiles=profiles),
            products=products,
            adapter=model.adapter,
            memory=options.memory,
            part=options.split,
            framing=frames,
            profile=profile,
            paper=options.paper,
            skip_bad=options.skip_bad,
            worst=options.worst,
            command=public_command(["calibrate", *sys.argv[1:]]),
        )
        with Progress(console=Console(stderr=True), transient=True, disable=not group.first) as progress:
            total = sum(s.label is not None for s in images_of(run.data, run.part)[0])
            task = progress.add_task("judging images", total=total)
            found = share_evaluation(run, lambda n: progress.advance(task, n), group)
    if found is None:
        return
    for note in (*found.notes, *(f"left out: {name}" for name in found.data.skipped)):
        typer.echo(note, err=True)
    typer.echo(json.dumps(found.as_json()) if as_json else (out / SUMMARY_FILE).read_text(encoding="utf-8").rstrip())
