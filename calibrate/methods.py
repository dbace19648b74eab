"""Which method judges: FB-CLIP, or one that it is compared with, whose adapters may be made on the spot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from calibrate.datasets.reader import read_data
from calibrate.errors import DataError
from fbclip.artefacts.peers import fixed_adapter
from fbclip.backbone.config import Precision
from fbclip.backbone.weights import find_weights, open_backbone
from fbclip.detector import Detector
from fbclip.engines.torch_engine import TorchEngine
from fbclip.errors import ConfigError, ImageError
from fbclip.images.decode import read_image
from fbclip.images.framing import Framing
from fbclip.memory.bank import load_memory
from fbclip.peers.config import BY_CLASS, FBCLIP, NAMES
from fbclip.runtime import pick_device


@dataclass(frozen=True)
class MadeModel:
    """What makes adapters of a method that is not learned: a backbone with its weights, and where it runs."""

    backbone: str
    weights: Path | None
    device: str
    precision: Precision


def check_method(method: str) -> None:
    """Raises ConfigError for a name that no method has."""
    if method != FBCLIP and method not in NAMES:
        raise ConfigError(f"--method {method}: must be one of {FBCLIP}, {', '.join(NAMES)}")


def check_judges(detector: Detector, method: str) -> Detector:
    """The same detector; raises ConfigError where its first adapter is of another method."""
    found = detector.running(detector.adapters[0]).method
    if found != method:
        raise ConfigError(f"--method {method}: the adapter is of method {found}; name another one with --adapter")
    return detector


def open_made(model: MadeModel, method: str, products: Sequence[str], memories: Sequence[Path] = ()) -> Detector:
    """A detector with an adapter of `method` for each product, in their order. Raises ConfigError, WeightsError."""
    if method not in BY_CLASS:
        raise ConfigError(
            f"--method {method}: is learned; `calibrate tune` it or `calibrate import` it, and name --adapter"
        )
    file = find_weights(model.backbone, model.weights)
    if file.checked is None:
        raise ConfigError(
            f"{file.path}: nobody states its sha256, and adapters are made of it; put {file.path.name}.sha256 beside "
            f"it, or `fbclip fetch {file.config.name}`"
        )
    adapters = [fixed_adapter(file, method, product) for product in dict.fromkeys(products)]
    backbone, digest = open_backbone(file, adapters[0].manifest.image_size)
    banks = [load_memory(folder) for folder in dict.fromkeys(memories)]
    return Detector(TorchEngine(backbone, digest, adapters, pick_device(model.device), model.precision), banks)


def with_normal_images(detector: Detector, root: Path) -> Detector:
    """A detector whose one adapter is the few-shot form of its first: the normal images in `root` are remembered.

    Raises DataError without any or for one that cannot be judged, ConfigError for a method that has no such form.
    """
    samples = [s for s in read_data(root).samples if s.label is not True]
    if not samples:
        raise DataError(f"--references {root}: no normal images there")
    tiles = []
    for sample in samples:
        try:
            tiles.append(detector.frame(read_image(sample.path).image, Framing()).network_input)
        except (ImageError, OSError) as error:
            raise DataError(f"--references: {sample.path}: {error}") from error
    base = detector.adapter(detector.adapters[0])
    images = torch.cat(tiles).to(detector.device)
    few = detector.remembering(base.id, images, [s.sha256 for s in samples])
    return detector.judging(few)


def adapters_by_class(detector: Detector, products: Sequence[str]) -> Mapping[str, str]:
    """Class -> id of the adapter that judges it; empty where one judges all."""
    return dict(zip(products, detector.adapters, strict=True)) if len(products) > 1 else {}
