"""`calibrate threshold`: images of a line -> its profile."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.options import (
    AdapterOption,
    BackboneOption,
    DeviceOption,
    IgnoreMaskOption,
    JsonOption,
    LayoutOption,
    OverlapOption,
    PrecisionOption,
    RoiOption,
    SkipBadOption,
    TilesOption,
    UnitFromOption,
    WeightsOption,
    check_line_name,
    parse_framing,
)
from fbclip.artefacts.profile import IgnoreMask
from fbclip.errors import ConfigError
from fbclip.files import file_sha256, write_atomically

if TYPE_CHECKING:
    from calibrate.threshold.choice import Goal
    from calibrate.threshold.line_data import LineData
    from calibrate.threshold.order_statistic import ThresholdTarget
    from fbclip.images.framing import Framing


def threshold(
    data: Annotated[Path, typer.Argument(help="data set; of one with splits, the normal images of train are used")],
    line: Annotated[str, typer.Option(help="name of the line in agent.yaml")],
    out: Annotated[Path, typer.Option(help="profile to write, *.yaml")],
    false_alarm: Annotated[float, typer.Option(help="largest share of normal units that may alarm")] = 0.01,
    confidence: Annotated[float, typer.Option(help="probability that this holds")] = 0.95,
    recall: Annotated[
        float | None, typer.Option(help="least share of anomalous units to be found; takes 59 of them for 0.95")
    ] = None,
    f1: Annotated[bool, typer.Option("--f1", help="best F1 on half of the units, measured on the other half")] = False,
    given: Annotated[
        float | None, typer.Option("--threshold", help="this threshold in z; what it does is measured")
    ] = None,
    uncertain: Annotated[
        float | None, typer.Option(help="share of normal units that may be uncertain; default 5 x false-alarm")
    ] = None,
    alert_on_uncertain: Annotated[
        bool, typer.Option("--alert-on-uncertain", help="uncertain alerts too: --false-alarm bounds both together")
    ] = False,
    class_name: Annotated[str | None, typer.Option("--class", help="class of a data set that has several")] = None,
    other: Annotated[
        list[Path] | None, typer.Option("--not", help="data set that must share no image with DATA; repeatable")
    ] = None,
    layout: LayoutOption = "auto",
    unit_from: UnitFromOption = None,
    skip_bad: SkipBadOption = False,
    roi: RoiOption = None,
    tiles: TilesOption = None,
    overlap: OverlapOption = 0.2,
    ignore_mask: IgnoreMaskOption = None,
    min_area: Annotated[int | None, typer.Option(help="smallest region in map pixels", min=1)] = None,
    pixel_only: Annotated[bool, typer.Option(help="judge by the map alone")] = False,
    best_effort: Annotated[bool, typer.Option(help="write a profile without a guarantee if need be")] = False,
    memory: Annotated[Path | None, typer.Option(help="memory of normal images, from `calibrate memory`")] = None,
    use: Annotated[
        Literal["auto", "zero-shot", "memory", "fused"],
        typer.Option(help="what decides with a memory; auto chooses on defects painted on normal images"),
    ] = "auto",
    adapter: AdapterOption = None,
    backbone: BackboneOption = "embedded",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    as_json: JsonOption = False,
) -> None:
    """Normal images -> a profile whose false-alarm rate is bounded, and its recall with --recall.

    Refused when the units are too few or no threshold does both. With --f1 or --threshold nothing is promised, but
    both rates are measured.
    """
    from calibrate.datasets import read_data
    from calibrate.inference import Skips
    from calibrate.threshold.line_data import check_unseen, select
    from calibrate.threshold.operating_point import InfeasibleError
    from calibrate.threshold.profile import ThresholdRequest, check_counts, make_profile
    from calibrate.threshold.text import curve_json, curve_text, profile_text
    from fbclip.artefacts.profile_file import save_profile
    from fbclip.detector import open_detector

    check_line_name(line)
    goal = _goal(recall, f1, given)
    wish = _wish(false_alarm, confidence, uncertain, alert_on_uncertain, goal)
    framing = parse_framing(roi, tiles, overlap, ignore_mask)
    kept = None if ignore_mask is None else _mask_beside(out, ignore_mask)
    chosen = select(read_data(data, layout, unit_from), class_name, with_anomalous=goal.method != "order-statistic")
    if memory is not None:
        chosen = _without_memory(chosen, memory, framing)
    elif use in {"memory", "fused"}:
        raise ConfigError(f"--use {use} needs --memory (`calibrate memory` makes one)")
    _tell(chosen.notes)
    seen = {str(root): frozenset(s.sha256 for s in read_data(root).samples) for root in other or ()}
    check_unseen(chosen.samples, seen | _tuned_on(adapter))
    request = ThresholdRequest(
        line, chosen, wish, goal, unit_from, framing, kept, min_area, pixel_only, best_effort, use=use
    )
    check_counts(request)
    memories = () if memory is None else (memory,)
    detector = open_detector(backbone, weights, () if adapter is None else (adapter,), device, precision, memories)
    request = replace(request, memory=next(iter(detector.memories), None))
    skips = Skips(skip_bad)
    console = Console(stderr=True)
    said: list[str] = []
    try:
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("judging images", total=len(chosen.samples))
            profile = make_profile(
                detector, detector.adapters[0], request, lambda n: progress.advance(task, n), skips, said.append
            )
    except InfeasibleError as error:
        typer.echo(json.dumps(curve_json(error)) if as_json else curve_text(error.curve, confidence))
        raise
    _tell([*said, *(f"left out: {name}" for name in skips.skipped)])
    if ignore_mask is not None and kept is not None:
        write_atomically(out.parent / kept.file, ignore_mask.read_bytes())
    save_profile(profile, out)
    if as_json:
        typer.echo(json.dumps({"profile": str(out), "id": profile.id, **profile.model_dump(mode="json")}))
    else:
        typer.echo(profile_text(out, profile))


def _goal(recall: float | None, f1: bool, given: float | None) -> Goal:
    from calibrate.threshold.choice import Goal

    if (recall is not None) + f1 + (given is not None) > 1:
        raise ConfigError("--recall, --f1 and --threshold exclude each other; give one")
    if recall is not None:
        if not 0 < recall < 1:
            raise ConfigError(f"--recall must lie between 0 and 1, got {recall}")
        return Goal("recall", recall)
    if given is not None:
        # Beyond that float32, in which the verdict is decided, has no number.
        if not (math.isfinite(given) and abs(given) < 1e30):
            raise ConfigError(f"--threshold must be a finite z, got {given}")
        return Goal("manual", given)
    return Goal("f1") if f1 else Goal()


def _wish(
    alpha: float, confidence: float, uncertain: float | None, alert_on_uncertain: bool, goal: Goal
) -> ThresholdTarget:
    from calibrate.threshold.order_statistic import BAND, ThresholdTarget

    if not alert_on_uncertain:
        return ThresholdTarget(alpha, confidence, min(0.5, BAND * alpha) if uncertain is None else uncertain)
    if uncertain is not None:
        raise ConfigError("--uncertain: with --alert-on-uncertain the share is that of --false-alarm; leave it out")
    if goal.method in {"f1", "manual"}:
        raise ConfigError("--alert-on-uncertain moves a guarantee, which --f1 and --threshold do not give")
    return ThresholdTarget(alpha, confidence, alpha, bounds="uncertain")


def _tuned_on(adapter: Path | None) -> dict[str, frozenset[str]]:
    from calibrate.evaluation.guard import tuned_on

    return {} if adapter is None else {f"the data that {adapter} was tuned on": tuned_on(adapter)}


def _without_memory(chosen: LineData, folder: Path, framing: Framing) -> LineData:
    """The images that a memory has not seen; raises ConfigError where it looks at images in another way."""
    from calibrate.memory.provenance import check_framing, seen_by
    from calibrate.memory.unit_allocation import leave_out
    from calibrate.threshold.line_data import check_unseen
    from fbclip.memory.bank import load_memory

    memory = load_memory(folder)
    check_framing(memory, framing)
    rest = leave_out(chosen, seen_by(memory), str(folder))
    check_unseen(rest.anomalous, {f"the memory {folder}": seen_by(memory)})
    return rest


def _tell(lines: Iterable[str]) -> None:
    for text in lines:
        typer.echo(text, err=True)


def _mask_beside(profile: Path, mask: Path) -> IgnoreMask:
    """A profile and its mask travel together, so the mask is copied beside it under the profile's name."""
    return IgnoreMask(file=f"{profile.stem}.ignore{mask.suffix.lower()}", sha256=file_sha256(mask))
