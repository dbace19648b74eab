"""`calibrate memory`: normal images of a line -> a memory of what they look like."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from calibrate.commands.framing_options import OverlapOption, RoiOption, TilesOption, WindowOption, parse_framing
from calibrate.commands.options import DataOptions, FeaturesOption, JsonOption, ModelOptions, SkipBadOption
from fbclip.command import grouped
from fbclip.errors import ConfigError
from fbclip.images.window import DEFAULT_WINDOW

if TYPE_CHECKING:
    from calibrate.memory.build import BuiltMemory, MemoryRequest
    from fbclip.backbone.config import BackboneConfig
    from fbclip.images.framing import Framing
    from fbclip.memory.features import MemoryConfig


@dataclass(frozen=True)
class MemoryOptions:
    """Which images are remembered, what is kept of them, and how it is compared."""

    units: Annotated[str, typer.Option(help="normal units to take, as 40% or 200; the threshold takes others")] = "100%"
    add: Annotated[Path | None, typer.Option(help="memory whose tokens are kept as well")] = None
    tokens: Annotated[
        int | None, typer.Option(help="tokens to keep; default 4096 for the embedded backbone, else 10000")
    ] = None
    features: FeaturesOption = None
    layers: Annotated[
        str | None,
        typer.Option(help="blocks to read, as 2,6, 0 is the stem; of imagenet strides, as 8,16; default likewise"),
    ] = None
    metric: Annotated[
        str | None, typer.Option(help="cosine, or mahalanobis to whiten; default: of --add, or by the backbone")
    ] = None
    neighbourhood: Annotated[
        str | None, typer.Option(help="sides of the squares whose means make a token, as 1,5; default likewise")
    ] = None
    nearest: Annotated[
        Literal["joint", "each"] | None,
        typer.Option(help="one nearest token by all layers together, or one by each of them; default likewise"),
    ] = None
    reach: Annotated[
        int | None, typer.Option(help="compare only so many patches around; for parts that always lie alike")
    ] = None
    seed: Annotated[int, typer.Option(min=0)] = 0
    keep_outliers: Annotated[
        bool, typer.Option("--keep-outliers", help="keep normal images that are unlike the others")
    ] = False

    def request(self, backbone: BackboneConfig, framing: Framing) -> MemoryRequest:
        """The same for a backbone. Raises ConfigError naming the option, MemoryBankError for --add."""
        from calibrate.memory.build import MemoryRequest, default_tokens
        from fbclip.memory.bank import load_memory
        from fbclip.memory.features import default_config

        base = None if self.add is None else load_memory(self.add)
        return MemoryRequest(
            self._changed(default_config(backbone, self.features) if base is None else base.manifest.config),
            default_tokens(backbone) if self.tokens is None else self.tokens,
            framing,
            self.seed,
            self.keep_outliers,
            base,
        )

    def _changed(self, config: MemoryConfig) -> MemoryConfig:
        """`config` with what the options change."""
        from fbclip.memory.features import MemoryConfig

        changes = {
            "features": self.features,
            "layers": _numbers("--layers", self.layers),
            "metric": self.metric,
            "nearest": self.nearest,
            "neighbourhood": _numbers("--neighbourhood", self.neighbourhood),
            "reach": self.reach,
        }
        given = {name: value for name, value in changes.items() if value is not None}
        try:
            return MemoryConfig.model_validate(config.model_dump() | given)
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(f"--{first['loc'][0] if first['loc'] else 'layers'}: {first['msg']}") from error


@dataclass(frozen=True)
class RegionOptions:
    """Which part of a frame is remembered, through which window; an ignore mask is a profile's alone."""

    roi: RoiOption = None
    tiles: TilesOption = None
    overlap: OverlapOption = 0.2
    window: WindowOption = DEFAULT_WINDOW

    def framing(self) -> Framing:
        """The same as one value; raises ConfigError naming the option that is wrong."""
        return parse_framing(self.roi, self.tiles, self.overlap, None, self.window)


@grouped
def memory(
    data: Annotated[Path, typer.Argument(help="data set; of one with splits, the normal images of train are used")],
    out: Annotated[Path, typer.Option(help="folder of the memory to write")],
    options: MemoryOptions,
    reading: DataOptions,
    region: RegionOptions,
    model: ModelOptions,
    class_name: Annotated[str | None, typer.Option("--class", help="class of a data set that has several")] = None,
    skip_bad: SkipBadOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remember what normal images look like; `calibrate threshold --memory` finds out how much that helps."""
    from calibrate.datasets.line_data import select
    from calibrate.datasets.slices import depth_note, with_slices
    from calibrate.inference import Skips
    from calibrate.memory.build import build_memory
    from calibrate.memory.provenance import take_units
    from fbclip.memory.bank import save_memory

    framing, model = region.framing(), model.resolved()
    chosen = select(with_slices(reading.read(data)), class_name, with_anomalous=False)
    samples, left = take_units(chosen.normal, options.units)
    detector = model.open(() if options.add is None else (options.add,))
    request = options.request(detector.backbone_config, framing)
    skips = Skips(skip_bad)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("looking at normal images", total=len(samples))
        built = build_memory(detector, samples, request, skips, lambda n: progress.advance(task, n))
    save_memory(built.memory, out)
    unlike = f"unlike the other normal images, {'kept' if request.keep_outliers else 'left out'}"
    for note in (
        *chosen.notes,
        *filter(None, [depth_note(samples, framing.window)]),
        *built.notes,
        *(f"left out: {one}" for one in skips.skipped),
        *(f"{unlike}: {line}" for line in built.outliers),
    ):
        typer.echo(note, err=True)
    typer.echo(json.dumps(_values(built, out, left)) if as_json else _text(built, out, left))


def _numbers(option: str, text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{option} {text!r} must be numbers, such as 1,5") from error


def _values(built: BuiltMemory, out: Path, left: int) -> dict[str, object]:
    manifest = built.memory.manifest
    return {
        "memory": str(out),
        "id": built.memory.id,
        "tokens": len(built.memory.tokens),
        "pictures": len(manifest.provenance["pictures"]),
        "config": manifest.config.model_dump(mode="json"),
        "outliers": list(built.outliers),
        "units_left": left,
    }


def _text(built: BuiltMemory, out: Path, left: int) -> str:
    images = len(built.memory.manifest.provenance["pictures"])
    rest = (
        f"{left} normal units are left for `calibrate threshold --memory`"
        if left
        else "no normal units are left: `calibrate threshold --memory` needs other images, or use --units 40%"
    )
    return f"{out}: {len(built.memory.tokens)} tokens of {images} normal images\n{rest}"
