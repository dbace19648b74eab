"""`calibrate line`: a line's images -> memory, profile, evaluation and report, by what agent.yaml says of it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.framing_options import FramingOptions, mask_beside
from calibrate.commands.options import DataOptions, JsonOption, ModelOptions, SkipBadOption, check_line_name
from fbclip.command import grouped
from fbclip.errors import ProfileError

if TYPE_CHECKING:
    from calibrate.line.config import LineConfig
    from calibrate.line.run import LineJob, LineResult
    from fbclip.artefacts.profile import IgnoreMask
    from fbclip.images.framing import Framing


@dataclass(frozen=True)
class LineOptions:
    """What is asked of the line."""

    config: Annotated[Path, typer.Option("-c", "--config", help="agent.yaml, which names the model and the files")]
    line: Annotated[str, typer.Option(help="name of the line in it")]
    out: Annotated[
        Path | None, typer.Option(help="folder of run and report; default: calibration/LINE beside agent.yaml")
    ] = None
    false_alarm: Annotated[float, typer.Option(help="largest share of normal units that may alarm")] = 0.01
    confidence: Annotated[float, typer.Option(help="probability that this holds")] = 0.95
    class_name: Annotated[str | None, typer.Option("--class", help="class of a data set that has several")] = None
    best_effort: Annotated[bool, typer.Option(help="write a profile without a guarantee if need be")] = False
    assume_independent: Annotated[
        bool, typer.Option("--assume-independent", help="count units that look alike or depend on each other in time")
    ] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and end")] = False


@grouped
def line(
    data: Annotated[Path, typer.Argument(help="normal images of the line; anomalous ones are evaluated")],
    asked: LineOptions,
    reading: DataOptions,
    view: FramingOptions,
    skip_bad: SkipBadOption = False,
    as_json: JsonOption = False,
) -> None:
    """The whole of a line: memory, threshold, evaluation on other units, report. The plan comes first.

    Model, weights, adapter and precision are those of agent.yaml; region, tiles and mask those of the line's present
    profile, unless given. Until all is done, the old profile and memory stay; interrupted, the memory is kept.
    """
    from calibrate.inference import Skips
    from calibrate.line.config import read_line_config
    from calibrate.line.plan import plan_text
    from calibrate.line.run import run_line, seconds
    from calibrate.memory.provenance import framing_record

    check_line_name(asked.line)
    config = read_line_config(asked.config, asked.line)
    job = _job(data, asked, config, reading, view)
    console = Console(stderr=True)

    def note(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    for text in (*job.notes, *plan_text(job.plan)):
        note(text)
    seen = {name: value for name, value in framing_record(job.framing).items() if value}
    note(f"model {config.backbone}, {config.precision} in {config.runtime}; {seen or 'whole frames'}")
    note(f"takes about {_duration(seconds(job, job.open_detector(())))} on this machine")
    if asked.dry_run:
        note("nothing was written (--dry-run)")
        return
    skips = Skips(skip_bad)
    with Progress(console=console, transient=True) as progress:
        tasks = {name: progress.add_task(name, total=None) for name in ("memory", "threshold", "evaluation")}

        def report(what: str, done: int, total: int) -> None:
            progress.update(tasks[what], completed=done, total=total)

        found = run_line(job, skips, report, note)
    for text in (
        *(f"left out: {one}" for one in skips.skipped),
        *(f"unlike the other normal images, left out of the memory: {one}" for one in found.outliers),
    ):
        note(text)
    _print(found, job, config, as_json)


def _job(data: Path, asked: LineOptions, config: LineConfig, reading: DataOptions, view: FramingOptions) -> LineJob:
    from calibrate.datasets.capture_order import capture_order
    from calibrate.datasets.line_data import select
    from calibrate.datasets.near_duplicates import NearDuplicates, find_near_duplicates
    from calibrate.datasets.slices import depth_note, with_slices
    from calibrate.evaluation.run import check_out, public_command
    from calibrate.line.plan import make_plan
    from calibrate.line.run import LineJob
    from calibrate.threshold.operating_point import BAND
    from calibrate.threshold.request import ThresholdTarget

    target = ThresholdTarget(asked.false_alarm, asked.confidence, min(0.5, BAND * asked.false_alarm))
    out = asked.out or config.file.absolute().parent / "calibration" / asked.line
    profile, memory = config.profile or out / f"{asked.line}.yaml", config.memory or out / "memory"
    check_out(out / "run", data)
    framing, mask = _framing(view, config, profile)
    found = reading.read(data)
    chosen = select(with_slices(found), asked.class_name, with_anomalous=False)
    used = {s.path for s in chosen.normal}
    tested = [
        s
        for s in found.normal()
        if s.path not in used and (asked.class_name is None or s.class_name == asked.class_name)
    ]
    depth = depth_note(chosen.normal, framing.window)
    near = NearDuplicates() if asked.assume_independent else find_near_duplicates(chosen.normal)
    model = ModelOptions(
        config.adapter,
        config.backbone,
        config.weights,
        config.device,
        config.precision,
        runtime=config.runtime,
        export=config.export,
    )
    return LineJob(
        line=asked.line,
        data=found,
        plan=make_plan(chosen, tested, near, target, asked.best_effort),
        open_detector=partial(model.open),
        adapter=config.adapter,
        framing=framing,
        ignore_mask=mask,
        mask=view.ignore_mask,
        out=out,
        profile=profile,
        memory=memory,
        notes=(*chosen.notes, *([] if depth is None else [depth])),
        order=capture_order(data, chosen.normal),
        unit_from=reading.unit_from,
        best_effort=asked.best_effort,
        assume_independent=asked.assume_independent,
        command=public_command(["calibrate", *sys.argv[1:]]),
    )


def _framing(view: FramingOptions, config: LineConfig, profile: Path) -> tuple[Framing, IgnoreMask | None]:
    """What was said; else what the line's present profile says, which is how the line is framed today."""
    from fbclip.artefacts.profile_file import load_profile
    from fbclip.images.framing import Framing

    given = view.framing()
    whole = Framing()
    if (given.roi, given.tiling, given.mask, given.window) != (None, None, None, whole.window):
        return given, None if view.ignore_mask is None else mask_beside(profile, view.ignore_mask)
    if config.profile is None or not config.profile.exists():
        return given, None
    try:
        present = load_profile(config.profile)
    except ProfileError as error:
        raise ProfileError(f"{error}; its region, tiles and mask would be lost: give them, or move it away") from error
    return present.framing, present.profile.ignore_mask


def _print(found: LineResult, job: LineJob, config: LineConfig, as_json: bool) -> None:
    from calibrate.evaluation.folder import SUMMARY_FILE
    from calibrate.threshold.text import blind_text, profile_text

    profile = found.result.profile
    report = None if found.report is None else str(found.report)
    if as_json:
        names = {"profile": str(job.profile), "memory": str(job.memory) if profile.memory else None, "report": report}
        typer.echo(json.dumps({**names, "id": profile.id, **profile.model_dump(mode="json", exclude={"memory"})}))
    else:
        if found.report is not None:
            typer.echo((job.out / "run" / SUMMARY_FILE).read_text(encoding="utf-8").rstrip())
        typer.echo(profile_text(job.profile, profile))
        typer.echo(_next_step(job, config, found))
    blind = profile.sees is not None and profile.sees.blind
    if blind:
        for text in blind_text(found.result, found.drawn):
            typer.echo(text, err=True)


def _next_step(job: LineJob, config: LineConfig, found: LineResult) -> str:
    profile, lines = found.result.profile, []
    if found.report is not None:
        lines.append(f"report: {found.report}")
    base = config.file.absolute().parent

    def shown(path: Path) -> str:
        absolute = path.absolute()
        return str(absolute.relative_to(base) if absolute.is_relative_to(base) else absolute)

    missing = {
        **({} if config.profile else {"profile": shown(job.profile)}),
        **({} if config.memory or profile.memory is None else {"memory": shown(job.memory)}),
    }
    if missing:
        lines.append(f"add to the line {job.line} in {config.file}:")
        lines.append(
            "    " + yaml.safe_dump({**missing, "mode": "shadow"}, sort_keys=False).strip().replace("\n", "\n    ")
        )
    if config.memory and profile.memory is None:
        lines.append(
            f"zero-shot does better than the memory: take `memory` out of the line {job.line} in {config.file}"
        )
    lines.append(f"next: agent check -c {config.file}; a running agent takes it with agent ctl reload")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
