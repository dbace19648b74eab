"""`calibrate tune`: images of a line -> an adapter tuned to them, if that helps."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.framing_options import RoiOption, parse_framing
from calibrate.commands.options import (
    BackboneOption,
    ConfigOption,
    DataOptions,
    DeviceOption,
    JsonOption,
    LineOption,
    ModelOptions,
    SkipBadOption,
    TrustOption,
    WeightsOption,
)
from fbclip.command import grouped
from fbclip.errors import ConfigError
from fbclip.peers.config import FBCLIP

if TYPE_CHECKING:
    from calibrate.tuning.model import ModelRequest
    from calibrate.tuning.request import TuningRequest


@dataclass(frozen=True)
class StartOptions:
    """The model to tune, and the method, changed or not."""

    backbone: BackboneOption = "embedded"
    weights: WeightsOption = None
    device: DeviceOption = "auto"
    base: Annotated[Path | None, typer.Option("--from", help="adapter to start from; default: the embedded one")] = None
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="start from fresh parameters")] = False
    method: Annotated[
        str,
        typer.Option(help="fb-clip, anomalyclip, afclip or faprompt; or a YAML file with fields of fb-clip to change"),
    ] = "fb-clip"
    without: Annotated[
        list[str] | None, typer.Option(help="mstff, mvfbe, background-subtraction, scr, contrast: off; repeatable")
    ] = None
    trust: TrustOption = False
    config: ConfigOption = None
    line: LineOption = None

    def request(self) -> ModelRequest:
        """The same as the tuning takes it, with the backbone of agent.yaml's line and its adapter to start from."""
        from calibrate.tuning.model import ModelRequest

        named = ModelOptions(self.base, self.backbone, self.weights, self.device, config=self.config, line=self.line)
        model = named.resolved()
        changes = Path(self.method) if self.changes_fields else None
        own = self.from_scratch or self.learner != FBCLIP
        return ModelRequest(
            model.backbone,
            model.weights,
            model.device,
            self.base if own else model.adapter,
            self.from_scratch,
            changes,
            tuple(self.without or ()),
            self.trust,
            self.learner,
        )

    @property
    def changes_fields(self) -> bool:
        """Whether --method is a file, not a name."""
        return Path(self.method).suffix in {".yaml", ".yml"} or Path(self.method).is_file()

    @property
    def learner(self) -> str:
        """The method that learns."""
        return FBCLIP if self.changes_fields else self.method


@dataclass(frozen=True)
class TuningOptions:
    """How to train."""

    epochs: Annotated[int | None, typer.Option(min=1, max=1000, help="default: the method's authors'")] = None
    learning_rate: Annotated[float | None, typer.Option(help="of Adam; default: the method's authors'")] = None
    batch: Annotated[int | None, typer.Option(min=1, max=1024, help="default: the method's authors'")] = None
    seed: Annotated[int, typer.Option(min=0)] = 0
    patience: Annotated[int, typer.Option(min=1, help="epochs without improvement before the end")] = 3
    augment: Annotated[bool, typer.Option("--augment", help="turn and mirror at random; nothing is cached then")] = (
        False
    )
    synthetic: Annotated[int, typer.Option(min=1, help="painted defects a normal image where none are real")] = 4
    keep: Annotated[bool, typer.Option("--keep", help="keep the tuned adapter even if it is not better")] = False
    cache_mb: Annotated[int, typer.Option(min=0, help="memory for features; more goes to a file in --work")] = 2048

    def request(self, method: str) -> TuningRequest:
        """The same, checked, with what the authors of `method` take where nothing is said. Raises ConfigError."""
        from calibrate.tuning.learners import LEARNS, check_learns
        from calibrate.tuning.request import TuningRequest
        from calibrate.tuning.training import Recipe

        check_learns(method)
        own = LEARNS[method]
        rate = own.learning_rate if self.learning_rate is None else self.learning_rate
        if not 0 < rate < 1:
            raise ConfigError(f"--learning-rate must lie between 0 and 1, got {rate}")
        recipe = Recipe(self.epochs or own.epochs, rate, own.betas, self.seed)
        batch = self.batch or own.batch
        return TuningRequest(recipe, batch, self.patience, self.augment, self.synthetic, self.cache_mb, self.keep)


@grouped
def tune(
    data: Annotated[Path, typer.Argument(help="data set: normal images, and anomalous ones where there are any")],
    out: Annotated[Path, typer.Option(help="folder of the adapter to write")],
    reading: DataOptions,
    start: StartOptions,
    training: TuningOptions,
    split: Annotated[Literal["train", "test", "all"], typer.Option(help="of a data set that has splits")] = "train",
    roi: RoiOption = None,
    skip_bad: SkipBadOption = False,
    work: Annotated[Path | None, typer.Option(help="folder of the unfinished run; default: OUT.work")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="forget an unfinished run")] = False,
    preview: Annotated[Path | None, typer.Option(help="write images with painted defects here, and end")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tune an adapter to a data set; it is kept only if it is better on images that tuning did not see.

    With normal images only, defects are painted on them. Interrupted, the same command goes on. Under torchrun several
    processes share each step.
    """
    from calibrate.datasets.slices import with_normal_slices
    from calibrate.inference import Skips
    from calibrate.processes import processes
    from calibrate.tuning.images import write_preview
    from calibrate.tuning.outcome import outcome_text
    from calibrate.tuning.run import TuningJob, run_job
    from calibrate.tuning.split import select

    try:
        with (
            processes() as group,
            Progress(console=Console(stderr=True), transient=True, disable=not group.first) as progress,
        ):
            request = training.request(start.learner)
            framing = parse_framing(roi, None, 0.0, None)
            samples, notes = select(with_normal_slices(reading.read(data)), split)
            if preview is not None:
                if group.first:
                    written = write_preview([s for s in samples if not s.label], framing.roi, training.seed, preview)
                    typer.echo(f"{preview}: {len(written)} images")
                return
            task = progress.add_task("opening the model", total=None)

            def notify(note: str) -> None:
                if group.first:
                    progress.console.print(note, markup=False, highlight=False, soft_wrap=True)

            def report(what: str, done: int, total: int) -> None:
                progress.update(task, description=what, completed=done, total=total)

            for note in notes:
                notify(note)
            work, model = work or out.with_name(out.name + ".work"), start.request()
            model = replace(model, device=group.device(model.device))
            job = TuningJob(samples, framing, model, request, out, work, restart)
            document = run_job(job, Skips(skip_bad), notify, report, group)
            if not group.first:
                return
    except KeyboardInterrupt as interrupt:
        # Outputs are written whole, at the very end; what is kept of a run is its last whole epoch.
        typer.echo("interrupted; the same command goes on after the last whole epoch", err=True)
        raise typer.Exit(130) from interrupt
    typer.echo(json.dumps({"out": str(out), **document.values()}) if as_json else outcome_text(document, out))
