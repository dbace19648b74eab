"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fbclip.backbone.config import Precision, RuntimeName
from fbclip.errors import ConfigError
from fbclip.features.catalog import Features

if TYPE_CHECKING:
    from calibrate.datasets.sample import DataSet
    from fbclip.detector import Detector

AdapterOption = Annotated[Path | None, typer.Option(help="adapter directory; default: the embedded one")]
BackboneOption = Annotated[str, typer.Option(help="embedded, ViT-L-14-336 or another ViT of open_clip")]
WeightsOption = Annotated[Path | None, typer.Option(help="local file of the backbone's weights")]
TrustOption = Annotated[
    bool, typer.Option("--trust", help="take weights whose sha256 nobody states; recorded in the id")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda[:N]")]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object")]
LayoutOption = Annotated[str, typer.Option(help="how the data is laid out; auto finds out")]
UnitFromOption = Annotated[
    str | None,
    typer.Option(help="what names a unit: a regular expression for a part of the file name, or folder, or collect"),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("-c", "--config", help="agent.yaml: model, weights, adapter and precision are those of its --line"),
]
LineOption = Annotated[str | None, typer.Option(help="name of the line in agent.yaml")]
PrecisionOption = Annotated[Precision, typer.Option(help="of the matrix products; a threshold belongs to one")]
RuntimeOption = Annotated[RuntimeName, typer.Option(help="torch, or onnxruntime or openvino with --export")]
ExportOption = Annotated[Path | None, typer.Option(help="folder that `fbclip export` made for this runtime")]
FeaturesOption = Annotated[
    Features | None,
    typer.Option(
        help="what a memory looks with: backbone, or imagenet, which knows real images; "
        "default: imagenet beside the embedded model"
    ),
]
SkipBadOption = Annotated[bool, typer.Option("--skip-bad", help="leave unusable images out, listing them")]


@dataclass(frozen=True)
class DataOptions:
    """How a data set is read."""

    layout: LayoutOption = "auto"
    unit_from: UnitFromOption = None

    def read(self, data: Path) -> DataSet:
        """Raises DataError or ConfigError naming the file or option that is wrong."""
        from calibrate.datasets.reader import read_data

        return read_data(data, self.layout, self.unit_from)


@dataclass(frozen=True)
class ModelOptions:
    """What judges: without an adapter the embedded one. With `config` it is what agent.yaml says of `line`."""

    adapter: AdapterOption = None
    backbone: BackboneOption = "embedded"
    weights: WeightsOption = None
    device: DeviceOption = "auto"
    precision: PrecisionOption = "float32"
    config: ConfigOption = None
    line: LineOption = None
    runtime: RuntimeOption = "torch"
    export: ExportOption = None

    def resolved(self) -> ModelOptions:
        """The same with what agent.yaml says, so that what is measured is what will run.

        Raises ConfigError for a file or line that is not there, and for an option that says otherwise.
        """
        from calibrate.line.config import read_line_config

        if self.config is None:
            return self
        if self.line is None:
            raise ConfigError(f"--config {self.config}: name the line in it with --line")
        found = read_line_config(self.config, self.line)
        defaults = {"adapter": None, "backbone": "embedded", "weights": None, "precision": "float32"}
        for name, default in (defaults | {"runtime": "torch", "export": None}).items():
            given, there = getattr(self, name), getattr(found, name)
            if given not in (default, there):
                raise ConfigError(f"--{name} {given}: line {self.line} in {self.config} has {there}; leave it out")
        device = found.device if self.device == "auto" else self.device
        return replace(
            self,
            adapter=found.adapter,
            backbone=found.backbone,
            weights=found.weights,
            device=device,
            precision=found.precision,
            runtime=found.runtime,
            export=found.export,
        )

    def open(self, memories: Sequence[Path] = (), profiles: Sequence[Path] = ()) -> Detector:
        """With the embedded model that the files were made with.

        Raises WeightsError, AdapterError, MemoryBankError, ExportError or ConfigError, each naming the file and the
        way out.
        """
        from fbclip.detector import open_detector
        from fbclip.engines.exported_engine import runs_on

        adapters, runs = () if self.adapter is None else (self.adapter,), runs_on(self.runtime, self.export)
        return open_detector(
            self.backbone, self.weights, adapters, self.device, self.precision, memories, profiles, runs=runs
        )


@dataclass(frozen=True)
class MethodOptions:
    """Which method judges. The methods whose prompts name the product need no adapter."""

    method: Annotated[str, typer.Option(help="fb-clip, vanilla, clipad, winclip, anomalyclip, afclip or faprompt")] = (
        "fb-clip"
    )
    references: Annotated[
        Path | None, typer.Option(help="folder of normal images: the few-shot form of winclip or afclip")
    ] = None
    product: Annotated[
        str | None, typer.Option(help="what the prompts of --method call the product; default: the class's name")
    ] = None

    def needs_classes(self, model: ModelOptions) -> bool:
        """Whether adapters are to be made, one for each class."""
        return self.method != "fb-clip" and model.adapter is None and self.product is None

    def products(self, model: ModelOptions, classes: Sequence[str]) -> tuple[str, ...]:
        """What adapters are to be made for: `product`, or every class; none where there is an adapter already."""
        from calibrate.methods import check_method
        from fbclip.peers.config import FBCLIP

        check_method(self.method)
        if self.method == FBCLIP or model.adapter is not None:
            if self.product is not None:
                raise ConfigError("--product: only for a --method whose prompts name it, without --adapter")
            return ()
        return (self.product,) if self.product is not None else tuple(classes)

    def open(
        self,
        model: ModelOptions,
        products: Sequence[str],
        memories: Sequence[Path] = (),
        profiles: Sequence[Path] = (),
    ) -> Detector:
        """`model` as it is where it has an adapter, of this method; else made for `products`. Raises as `open`."""
        from calibrate.methods import MadeModel, check_judges, open_made, with_normal_images

        if self.references is not None and (len(products) > 1 or memories):
            raise ConfigError("--references: for one product, and without --memory; name it with --product")
        if products:
            made = MadeModel(model.backbone, model.weights, model.device, model.precision)
            detector = open_made(made, self.method, products, memories)
        else:
            detector = model.open(memories, profiles)
            # Without --method an adapter says itself what it is of.
            detector = detector if self.method == "fb-clip" else check_judges(detector, self.method)
        return detector if self.references is None else with_normal_images(detector, self.references)


def check_line_name(line: str) -> None:
    """Raises ConfigError for a name that agent.yaml would refuse."""
    if not re.fullmatch(r"[a-z0-9_-]{1,64}", line):
        raise ConfigError(f"--line {line!r} must be of a-z, 0-9, _ and -")
