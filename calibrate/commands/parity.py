"""`calibrate parity`: another runtime or precision beside a profile's own, and a profile for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.options import DataOptions, JsonOption, LayoutOption, ModelOptions, SkipBadOption
from calibrate.commands.threshold import DecisionOptions, SelectionOptions, line_data
from fbclip.command import grouped
from fbclip.errors import ConfigError

if TYPE_CHECKING:
    from calibrate.parity.run import ParityResult
    from fbclip.artefacts.profile_file import LoadedProfile


@dataclass(frozen=True)
class ParityOptions:
    """The same images, and where the new profile goes."""

    out: Annotated[Path | None, typer.Option(help="profile to write for the new runtime, *.yaml")] = None
    memory: Annotated[Path | None, typer.Option(help="memory that the profile was made with")] = None
    layout: LayoutOption = "auto"


@grouped
def parity(
    profile: Annotated[Path, typer.Argument(help="profile that torch was measured with")],
    data: Annotated[Path, typer.Argument(help="the data set that it was made of")],
    asked: ParityOptions,
    selection: SelectionOptions,
    model: ModelOptions,
    skip_bad: SkipBadOption = False,
    as_json: JsonOption = False,
) -> None:
    """How far --runtime and --precision lie from what a profile was measured with, and a threshold of their own.

    The new threshold comes from the same units. Refused, exit 1, where a guarantee or what the profile sees would fall.
    """
    from calibrate.datasets.capture_order import capture_order
    from calibrate.errors import RefusedError
    from calibrate.inference import Skips
    from calibrate.parity.repeat import check_same_images, goal_of, repeated_request, unit_source
    from calibrate.parity.run import check_parity
    from calibrate.profiles.placing import place_profile
    from fbclip.artefacts.profile_file import load_profile

    loaded = load_profile(profile)
    model, known = model.resolved(), loaded.profile
    if asked.out is not None and asked.out.resolve() == profile.resolve():
        raise ConfigError(f"--out {asked.out}: name another file, so that the old profile still runs in torch")
    reading = DataOptions(asked.layout, unit_source(known))
    decision = DecisionOptions(memory=asked.memory)
    chosen, _ = line_data(data, goal_of(known), selection, reading, decision, loaded.framing, model.adapter)
    request = repeated_request(
        loaded, chosen, capture_order(data, chosen.normal), profile.stem if asked.out is None else asked.out.stem
    )
    check_same_images(known, chosen)
    reference = _reference(model, loaded)
    # What a profile judges without, no detector needs to have.
    memories = () if asked.memory is None or known.memory is None else (asked.memory,)
    skips = Skips(skip_bad)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("judging images", total=2 * (len(chosen.samples) + len(chosen.unused)))
        found = check_parity(
            loaded,
            reference.open(memories, (profile,)),
            model.open(memories, (profile,)),
            request,
            skips,
            lambda n: progress.advance(task, n),
        )
    for skipped in skips.skipped:
        typer.echo(f"left out: {skipped}", err=True)
    typer.echo(_json(found, asked.out) if as_json else _text(found))
    if found.refused:
        raise RefusedError(f"{profile}: no profile for {model.runtime} {model.precision}: {'; '.join(found.refused)}")
    if asked.out is not None:
        mask = known.ignore_mask
        place_profile(asked.out, found.result, None if mask is None else profile.parent / mask.file)


def _reference(model: ModelOptions, loaded: LoadedProfile) -> ModelOptions:
    """What the profile was measured with; raises ConfigError where that was an export."""
    profile = loaded.profile
    if profile.runtime != "torch":
        raise ConfigError(f"the profile was measured with {profile.runtime}; give the one of torch that it came from")
    return replace(model, config=None, line=None, runtime="torch", export=None, precision=profile.precision)


def _json(found: ParityResult, out: Path | None) -> str:
    made = found.result.profile
    values = {
        "profile": None if out is None or found.refused else str(out),
        "runtime": made.runtime,
        "precision": made.precision,
        "export": made.export,
        "threshold": made.threshold,
        "refused": list(found.refused),
        "agrees": found.difference.agrees,
        **found.difference.model_dump(mode="json"),
    }
    return json.dumps(values)


def _text(found: ParityResult) -> str:
    from calibrate.parity.difference import AGREEMENT

    d, made = found.difference, found.result.profile
    rows = [
        ("runtime", f"{made.runtime}, {made.precision}"),
        ("images, units", f"{d.images}, {d.units}"),
        ("margin", f"at most {d.margin_max:.3g} apart"),
        ("map", f"at most {d.map_max:.3g} apart"),
        ("distance", "n/a" if d.distance_max is None else f"at most {d.distance_max:.3g} apart"),
        ("mask tokens", f"{d.mask_flips} of {d.mask_tokens} flip"),
        ("AUROC of z", f"{_number(d.auroc_before)} before, {_number(d.auroc_after)} after"),
        ("verdicts", f"{d.flips} of {d.units} units flip with the new threshold, {d.flips_at_old} with the old one"),
        ("share of flips", f"{d.flips_low:.2%} to {d.flips_high:.2%} ({d.confidence:.0%} sure)"),
        ("agreement", f"margins and maps within {AGREEMENT:g}, no other verdict: {'yes' if d.agrees else 'NO'}"),
        ("threshold", f"{made.threshold:.4f}"),
    ]
    return "\n".join(f"{name:15} {text}" for name, text in rows)


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"
