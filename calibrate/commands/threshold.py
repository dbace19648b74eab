"""`calibrate threshold`: images of a line -> its profile."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.framing_options import FramingOptions, mask_beside
from calibrate.commands.options import (
    DataOptions,
    JsonOption,
    MethodOptions,
    ModelOptions,
    SkipBadOption,
    check_line_name,
)
from fbclip.command import grouped
from fbclip.errors import ConfigError

if TYPE_CHECKING:
    from calibrate.datasets.line_data import LineData
    from calibrate.inference import Skips
    from calibrate.threshold.operating_point import InfeasibleError
    from calibrate.threshold.profile import ProfileResult
    from calibrate.threshold.request import Goal, ThresholdRequest, ThresholdTarget
    from fbclip.detector import Detector
    from fbclip.images.framing import Framing

ADVICE = "a threshold needs images that nothing else was fitted to"


@dataclass(frozen=True)
class TargetOptions:
    """Which rates are asked for, and how the threshold is found."""

    false_alarm: Annotated[float, typer.Option(help="largest share of normal units that may alarm")] = 0.01
    confidence: Annotated[float, typer.Option(help="probability that this holds")] = 0.95
    recall: Annotated[
        float | None, typer.Option(help="least share of anomalous units to be found; takes 59 of them for 0.95")
    ] = None
    f1: Annotated[bool, typer.Option("--f1", help="best F1 on half of the units, measured on the other half")] = False
    given: Annotated[
        float | None, typer.Option("--threshold", help="this threshold in z; what it does is measured")
    ] = None
    uncertain: Annotated[
        float | None, typer.Option(help="share of normal units that may be uncertain; default 5 x false-alarm")
    ] = None
    alert_on_uncertain: Annotated[
        bool, typer.Option("--alert-on-uncertain", help="uncertain alerts too: --false-alarm bounds both together")
    ] = False

    def goal(self) -> Goal:
        """Raises ConfigError for ways that exclude each other or a number out of range."""
        from calibrate.threshold.request import Goal

        if (self.recall is not None) + self.f1 + (self.given is not None) > 1:
            raise ConfigError("--recall, --f1 and --threshold exclude each other; give one")
        if self.recall is not None:
            if not 0 < self.recall < 1:
                raise ConfigError(f"--recall must lie between 0 and 1, got {self.recall}")
            return Goal("recall", self.recall)
        if self.given is not None:
            # Beyond that float32, in which the verdict is decided, has no number.
            if not (math.isfinite(self.given) and abs(self.given) < 1e30):
                raise ConfigError(f"--threshold must be a finite z, got {self.given}")
            return Goal("manual", self.given)
        return Goal("f1") if self.f1 else Goal()

    def target(self) -> ThresholdTarget:
        """Raises ConfigError for options that contradict each other, RefusedError for a rate that is none."""
        from calibrate.threshold.operating_point import BAND
        from calibrate.threshold.request import ThresholdTarget

        alpha, uncertain = self.false_alarm, self.uncertain
        if not self.alert_on_uncertain:
            return ThresholdTarget(alpha, self.confidence, min(0.5, BAND * alpha) if uncertain is None else uncertain)
        if uncertain is not None:
            raise ConfigError("--uncertain: with --alert-on-uncertain the share is that of --false-alarm; leave it out")
        if not self.goal().promises:
            raise ConfigError("--alert-on-uncertain moves a guarantee, which --f1 and --threshold do not give")
        return ThresholdTarget(alpha, self.confidence, alpha, bounds="uncertain")


@dataclass(frozen=True)
class SelectionOptions:
    """Which images of the data set count."""

    class_name: Annotated[str | None, typer.Option("--class", help="class of a data set that has several")] = None
    other: Annotated[
        list[Path] | None, typer.Option("--not", help="data set that must share no image with DATA; repeatable")
    ] = None


@dataclass(frozen=True)
class DecisionOptions:
    """What decides on an image, and when a promise may be missing."""

    min_area: Annotated[int | None, typer.Option(help="smallest region in map pixels", min=1)] = None
    pixel_only: Annotated[bool, typer.Option(help="judge by the map alone")] = False
    best_effort: Annotated[bool, typer.Option(help="write a profile without a guarantee if need be")] = False
    memory: Annotated[Path | None, typer.Option(help="memory of normal images, from `calibrate memory`")] = None
    use: Annotated[
        Literal["auto", "zero-shot", "memory", "fused"],
        typer.Option(help="what decides with a memory; auto chooses on defects painted on normal images"),
    ] = "auto"
    assume_independent: Annotated[
        bool, typer.Option("--assume-independent", help="count units that look alike or depend on each other in time")
    ] = False


@grouped
def threshold(
    data: Annotated[Path, typer.Argument(help="data set; of one with splits, the normal images of train are used")],
    out: Annotated[Path, typer.Option(help="profile to write, *.yaml")],
    asked: TargetOptions,
    selection: SelectionOptions,
    reading: DataOptions,
    view: FramingOptions,
    decision: DecisionOptions,
    model: ModelOptions,
    judge: MethodOptions,
    skip_bad: SkipBadOption = False,
    as_json: JsonOption = False,
) -> None:
    """Normal images -> a profile whose false-alarm rate is bounded, and its recall with --recall.

    Refused when the units are too few or no threshold does both. With --f1 or --threshold nothing is promised, but
    both rates are measured.
    """
    from calibrate.datasets.capture_order import capture_order
    from calibrate.evaluation.highest import write_highest
    from calibrate.inference import Skips
    from calibrate.profiles.placing import place_profile
    from calibrate.threshold.operating_point import InfeasibleError
    from calibrate.threshold.request import ThresholdRequest
    from calibrate.threshold.split import check_counts

    model, line = model.resolved(), model.line or ""
    check_line_name(line)
    goal, target, framing = asked.goal(), asked.target(), view.framing()
    kept = None if view.ignore_mask is None else mask_beside(out, view.ignore_mask)
    if judge.references is not None:
        selection = replace(selection, other=[*(selection.other or []), judge.references])
    chosen, memory = line_data(data, goal, selection, reading, decision, framing, model.adapter)
    request = ThresholdRequest(
        line=line,
        data=chosen,
        target=target,
        goal=goal,
        unit_from=reading.unit_from,
        framing=framing,
        ignore_mask=kept,
        min_area_px=decision.min_area,
        pixel_only=decision.pixel_only,
        best_effort=decision.best_effort,
        memory=memory,
        use=decision.use,
        order=capture_order(data, chosen.normal),
        assume_independent=decision.assume_independent,
        profile_name=out.stem,
    )
    check_counts(request)
    skips = Skips(skip_bad)
    try:
        products = judge.products(model, [selection.class_name or _class_of(chosen)])
        detector = judge.open(model, products, () if decision.memory is None else (decision.memory,))
        result = _make(request, detector, skips)
    except InfeasibleError as error:
        _print_curve(error, target.confidence, as_json)
        raise
    place_profile(out, result, view.ignore_mask)
    if products or judge.references is not None:
        _place_adapter(out, detector)
    _print_result(out, result, write_highest(out, result), skips, as_json)


def line_data(
    data: Path,
    goal: Goal,
    selection: SelectionOptions,
    reading: DataOptions,
    decision: DecisionOptions,
    framing: Framing,
    adapter: Path | None,
) -> tuple[LineData, str | None]:
    """The images that nothing else was fitted to, and the id of the memory that they are seen with, if any."""
    from calibrate.datasets.leakage import check_unseen, tuned_on
    from calibrate.datasets.line_data import select
    from calibrate.datasets.reader import read_data
    from calibrate.datasets.slices import depth_note, with_slices

    chosen = select(
        with_slices(reading.read(data)), selection.class_name, with_anomalous=goal.method != "order-statistic"
    )
    memory = None
    if decision.memory is not None:
        chosen, memory = _without_memory(chosen, decision.memory, framing)
    elif decision.use in {"memory", "fused"}:
        raise ConfigError(f"--use {decision.use} needs --memory (`calibrate memory` makes one)")
    _print_notes([*chosen.notes, *filter(None, [depth_note(chosen.normal, framing.window)])])
    seen = {str(root): frozenset(s.sha256 for s in read_data(root).samples) for root in selection.other or ()}
    if adapter is not None:
        seen[f"the data that {adapter} was tuned on"] = tuned_on(adapter)
    check_unseen(chosen.samples, seen, ADVICE)
    known = frozenset().union(*seen.values())
    return replace(chosen, unused=tuple(s for s in chosen.unused if s.sha256 not in known)), memory


def _without_memory(chosen: LineData, folder: Path, framing: Framing) -> tuple[LineData, str]:
    """The images that a memory has not seen, and its id; raises ConfigError where it looks at images in another way."""
    from calibrate.datasets.leakage import check_unseen, seen_by
    from calibrate.memory.provenance import check_framing, leave_out
    from fbclip.memory.bank import load_memory

    memory = load_memory(folder)
    check_framing(memory, framing)
    rest, notes = leave_out(chosen.normal, seen_by(memory), str(folder))
    check_unseen(chosen.anomalous, {f"the memory {folder}": seen_by(memory)}, ADVICE)
    return replace(chosen, normal=tuple(rest), notes=(*chosen.notes, *notes)), memory.id


def _class_of(chosen: LineData) -> str:
    return chosen.normal[0].class_name


def _place_adapter(out: Path, detector: Detector) -> None:
    """An adapter that was made for this profile goes beside it, since a line cannot run without it."""
    from fbclip.artefacts.adapter import save_adapter

    folder = out.with_name(f"{out.stem}.adapter")
    save_adapter(detector.adapter(detector.adapters[0]), folder)
    _print_notes([f"{folder}: the adapter of this method; name it as the line's adapter in agent.yaml"])


def _make(request: ThresholdRequest, detector: Detector, skips: Skips) -> ProfileResult:
    from calibrate.threshold.profile import make_profile
    from calibrate.threshold.sees import PAINTED_MOST

    with Progress(console=Console(stderr=True), transient=True) as progress:
        total = len(request.data.samples) + len(request.data.unused) + PAINTED_MOST
        task = progress.add_task("judging images", total=total)
        return make_profile(detector, detector.adapters[0], request, lambda n: progress.advance(task, n), skips)


def _print_result(out: Path, result: ProfileResult, drawn: list[Path], skips: Skips, as_json: bool) -> None:
    from calibrate.threshold.text import blind_text, profile_text

    profile = result.profile
    _print_notes([] if result.fusion is None else [result.fusion.text])
    _print_notes(f"left out: {skipped}" for skipped in skips.skipped)
    if as_json:
        typer.echo(json.dumps({"profile": str(out), "id": profile.id, **profile.model_dump(mode="json")}))
    else:
        typer.echo(profile_text(out, profile))
    if profile.sees is not None and profile.sees.blind:
        _print_notes(blind_text(result, drawn))


def _print_curve(error: InfeasibleError, confidence: float, as_json: bool) -> None:
    from calibrate.threshold.text import curve_json, curve_text

    typer.echo(json.dumps(curve_json(error)) if as_json else curve_text(error.curve, confidence))


def _print_notes(lines: Iterable[str]) -> None:
    for text in lines:
        typer.echo(text, err=True)
