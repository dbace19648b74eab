"""`calibrate tune`: images of a line -> an adapter tuned to them, if that helps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.options import (
    BackboneOption,
    DeviceOption,
    JsonOption,
    LayoutOption,
    RoiOption,
    SkipBadOption,
    UnitFromOption,
    WeightsOption,
    parse_framing,
)
from fbclip.errors import ConfigError

if TYPE_CHECKING:
    from calibrate.tuning.pipeline import TuningModel


def tune(
    data: Annotated[Path, typer.Argument(help="data set: normal images, and anomalous ones where there are any")],
    out: Annotated[Path, typer.Option(help="folder of the adapter to write")],
    layout: LayoutOption = "auto",
    unit_from: UnitFromOption = None,
    split: Annotated[Literal["train", "test", "all"], typer.Option(help="of a data set that has splits")] = "train",
    roi: RoiOption = None,
    skip_bad: SkipBadOption = False,
    backbone: BackboneOption = "embedded",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    base: Annotated[
        Path | None, typer.Option("--from", help="adapter to start from; default: the embedded one")
    ] = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="start from fresh parameters")] = False,
    epochs: Annotated[int, typer.Option(min=1, max=1000)] = 3,
    learning_rate: Annotated[float, typer.Option(help="of Adam; the paper's by default")] = 5e-5,
    batch: Annotated[int, typer.Option(min=1, max=1024)] = 4,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    patience: Annotated[int, typer.Option(min=1, help="epochs without improvement before the end")] = 3,
    augment: Annotated[
        bool, typer.Option("--augment", help="turn and mirror at random; nothing is cached then")
    ] = False,
    synthetic: Annotated[int, typer.Option(min=1, help="painted defects a normal image where none are real")] = 4,
    method: Annotated[Path | None, typer.Option(help="YAML with fields of the method to change")] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="mstff, mvfbe, background-subtraction, scr, contrast: off; repeatable")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="keep the tuned adapter even if it is not better")] = False,
    cache_mb: Annotated[int, typer.Option(min=0, help="memory for features; more goes to a file in --work")] = 2048,
    work: Annotated[Path | None, typer.Option(help="folder of the unfinished run; default: OUT.work")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="forget an unfinished run")] = False,
    preview: Annotated[Path | None, typer.Option(help="write images with painted defects here, and end")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tune an adapter to a data set; it is kept only if it is better on images that tuning did not see.

    With normal images only, defects are painted on them. Interrupted, the same command goes on.
    """
    try:
        from calibrate.datasets import read_data
        from calibrate.tuning.images import Loader, usable
        from calibrate.tuning.loop import Settings
        from calibrate.tuning.outcome import text, write
        from calibrate.tuning.parts import MEANING, mode_of, select
        from calibrate.tuning.pipeline import tune_adapter
        from calibrate.tuning.preview import write_preview
        from calibrate.tuning.state import drop_state
        from calibrate.tuning.training import Recipe

        if not 0 < learning_rate < 1:
            raise ConfigError(f"--learning-rate must lie between 0 and 1, got {learning_rate}")
        framing = parse_framing(roi, None, 0.0, None)
        samples, notes = select(read_data(data, layout, unit_from), split)
        if preview is not None:
            written = write_preview([s for s in samples if not s.label], framing.roi, seed, preview)
            typer.echo(f"{preview}: {len(written)} images")
            return
        if out.exists() and not out.is_dir():
            raise ConfigError(f"--out {out}: is a file; name a folder")
        folder = work or out.with_name(out.name + ".work")
        base_folder = _base_folder(base, backbone, from_scratch)
        if base_folder is not None and base_folder.resolve() == out.resolve():
            raise ConfigError(f"--out {out}: is the base itself; name another folder")
        model = _open(base_folder, backbone, weights, device, from_scratch, method, without or [])
        loader = Loader(framing, model.method.image_size, model.backbone.config.patch_size)
        settings = Settings(Recipe(epochs, learning_rate, seed=seed), batch, patience, augment, synthetic, cache_mb)
        if restart:
            drop_state(folder)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("reading images", total=None)
            samples, unusable = usable(samples, loader, skip_bad)
            for note in (*notes, *(f"left out: {line}" for line in unusable), f"mode: {MEANING[mode_of(samples)]}"):
                progress.console.print(note, markup=False, highlight=False, soft_wrap=True)
            outcome = tune_adapter(
                model,
                samples,
                loader,
                settings,
                keep,
                folder,
                lambda what, done, total: progress.update(task, description=what, completed=done, total=total),
            )
        values = write(outcome, base_folder, out)
        drop_state(folder)
        typer.echo(json.dumps({"out": str(out), **values}) if as_json else text(values, out))
    except KeyboardInterrupt:
        # Outputs are written whole, at the very end; what is kept of a run is its last whole epoch.
        typer.echo("interrupted; the same command goes on after the last whole epoch", err=True)
        raise typer.Exit(130) from None


def _base_folder(base: Path | None, backbone: str, from_scratch: bool) -> Path | None:
    """The adapter to start from or to compare with; from scratch there need not be one."""
    from fbclip.backbone.weights import EMBEDDED_DIR

    if base is not None or from_scratch:
        return base
    if backbone == "embedded":
        return EMBEDDED_DIR / "adapter"
    raise ConfigError(f"backbone {backbone}: name an adapter to start from with --from, or add --from-scratch")


def _open(
    base: Path | None,
    backbone: str,
    weights: Path | None,
    device: str,
    from_scratch: bool,
    method: Path | None,
    without: list[str],
) -> TuningModel:
    from calibrate.tuning.method import changed_method, check_runs
    from calibrate.tuning.pipeline import TuningModel
    from fbclip.artefacts.adapter import load_adapter
    from fbclip.backbone.weights import find_weights, open_backbone
    from fbclip.method.defaults import method_for
    from fbclip.method.text import load_text_tower
    from fbclip.runtime import pick_device

    where = pick_device(device)
    file = find_weights(backbone, weights)
    start = None if base is None else load_adapter(base)
    own = method_for(file.config) if start is None or from_scratch else start.manifest.method
    wanted = changed_method(own, method, without)
    check_runs(wanted, file.config.patch_size, file.config.layers)
    model, digest = open_backbone(file, wanted.image_size)
    if start is not None and start.manifest.backbone_sha256 != digest:
        raise ConfigError(f"--from {base}: was tuned on other weights than those of backbone {backbone}")
    if start is not None and start.manifest.method.image_size != wanted.image_size:
        raise ConfigError(
            f"--from {base}: is for {start.manifest.method.image_size} px and cannot be compared at "
            f"{wanted.image_size} px; leave it out with --from-scratch, or keep image_size"
        )
    tower = load_text_tower(file.all(), file.config).to(where)
    return TuningModel(model.to(where), digest, tower, wanted, start, from_scratch)
