"""`calibrate evaluate`: a detector over a labelled data set -> a folder of numbers and images."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
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
    parse_framing,
)
from fbclip.errors import ConfigError

if TYPE_CHECKING:
    from calibrate.inference import Skips
    from calibrate.memory.temporary import TemporaryMemory
    from fbclip.artefacts.profile_file import LoadedProfile
    from fbclip.detector import Detector
    from fbclip.images.framing import Framing


def evaluate(
    data: Annotated[Path, typer.Argument(help="labelled data set; of one with splits, test is used")],
    out: Annotated[Path, typer.Option(help="folder to write; an earlier run in it is replaced")],
    profile: Annotated[Path | None, typer.Option(help="profile whose verdicts are counted, *.yaml")] = None,
    adapter: AdapterOption = None,
    memory: Annotated[
        Path | None,
        typer.Option(help="memory, or a folder of normal images to make one of for this run, here or in DATA"),
    ] = None,
    backbone: BackboneOption = "embedded",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    layout: LayoutOption = "auto",
    unit_from: UnitFromOption = None,
    split: Annotated[
        Literal["test", "train", "all"] | None, typer.Option(help="default: test if there is one, else all")
    ] = None,
    roi: RoiOption = None,
    tiles: TilesOption = None,
    overlap: OverlapOption = 0.2,
    ignore_mask: IgnoreMaskOption = None,
    paper: Annotated[bool, typer.Option("--paper", help="the authors' definitions, on probabilities")] = False,
    skip_bad: SkipBadOption = False,
    worst: Annotated[int, typer.Option(help="false alarms and misses to draw, each", min=0)] = 8,
    as_json: JsonOption = False,
) -> None:
    """Image and pixel numbers of every class, and with a profile its false alarms and misses."""
    from calibrate.datasets import read_data
    from calibrate.evaluation.evaluate import evaluate as judge
    from calibrate.evaluation.folder import check_free
    from calibrate.evaluation.guard import tuned_on
    from calibrate.evaluation.request import EvaluationRequest, select
    from calibrate.evaluation.run import Context, document, public_words, write_run
    from calibrate.evaluation.worst import draw_worst, heat_limits
    from calibrate.inference import Skips
    from fbclip.artefacts.profile_file import load_profile
    from fbclip.detector import open_detector

    framing = parse_framing(roi, tiles, overlap, ignore_mask)
    if out.resolve().is_relative_to(data.resolve()):
        # The next reading of the set would take the run's images for its own.
        raise ConfigError(f"--out {out}: lies in the data set {data}; name a folder outside")
    check_free(out)
    loaded = None if profile is None else load_profile(profile)
    dataset = read_data(data, layout, unit_from)
    seen = frozenset() if adapter is None else tuned_on(adapter)
    adapters = () if adapter is None else (adapter,)

    def opened(*folders: Path) -> Detector:
        return open_detector(backbone, weights, adapters, device, precision, folders)

    detector, fusion = opened(), None
    if memory is not None:
        # `train/good` is how one thinks of the set's own normal images.
        memory = data / memory if not memory.exists() and (data / memory).is_dir() else memory
        detector, trial = _with_memory(detector, opened, memory, framing, loaded, Skips(skip_bad))
        seen, fusion = seen | trial.seen, trial.fusion
    plan = EvaluationRequest(split, framing, loaded, paper, skip_bad, seen, next(iter(detector.memories), None), fusion)
    running = detector.adapters[0]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("judging images", total=sum(s.label is not None for s in select(dataset, split)[0]))
        found = judge(detector, running, dataset, plan, lambda n: progress.advance(task, n))
        limits = heat_limits(found, None if loaded is None else loaded.profile.map_limits)
        images = list(draw_worst(detector, running, found, worst, limits))
    context = Context(
        dataset, None if loaded is None else loaded.profile, limits, public_words(["calibrate", *sys.argv[1:]])
    )
    content = document(found, context, images)
    write_run(out, found, content, images)
    for note in (*found.notes, *(f"left out: {name}" for name in found.skipped)):
        typer.echo(note, err=True)
    typer.echo(json.dumps(content) if as_json else (out / "summary.md").read_text(encoding="utf-8").rstrip())


def _with_memory(
    detector: Detector,
    opened: Callable[..., Detector],
    folder: Path,
    framing: Framing,
    profile: LoadedProfile | None,
    skips: Skips,
) -> tuple[Detector, TemporaryMemory]:
    """A detector that has the memory in `folder`, or one made of the normal images in it."""
    from calibrate.datasets import read_data
    from calibrate.memory.provenance import check_framing, seen_by
    from calibrate.memory.temporary import TemporaryMemory, distances_alone, of_images
    from fbclip.memory.bank import Memory, load_memory, save_memory

    if (folder / "memory.json").is_file():
        loaded = load_memory(folder)
        check_framing(loaded, framing if profile is None else profile.framing)
        # Only a profile knows how distances and margins are put together; without one the distances rank by themselves.
        fusion = None if profile is None else profile.profile.fusion
        return opened(folder), TemporaryMemory(loaded, fusion or distances_alone(), seen_by(loaded))
    if profile is not None:
        raise ConfigError(f"--memory {folder}: is no memory; a profile names one that `calibrate memory` made")
    with tempfile.TemporaryDirectory() as made:

        def remembering(memory: Memory) -> Detector:
            save_memory(memory, Path(made))
            return opened(Path(made))

        trial = of_images(detector, read_data(folder).normal(), framing, remembering, skips)
        return remembering(trial.memory), trial
