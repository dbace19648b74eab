"""What the tokens of a memory come from: the backbone, or a network of features beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fbclip.backbone.config import STEM, BackboneConfig
from fbclip.backbone.tower import layer_width
from fbclip.features.catalog import IMAGENET
from fbclip.features.imagenet import grid_side


@dataclass(frozen=True)
class FeatureNetwork:
    """A frozen network at one input size. sha256: of its weights; grid: tokens a side; widths: layer -> numbers."""

    name: str
    sha256: str
    image_size: int
    grid: int
    widths: Mapping[int, int]


def backbone_network(config: BackboneConfig, sha256: str, image_size: int) -> FeatureNetwork:
    """Layers are blocks, counted from 1, and 0, a stem of its own; imagenet features are a network of their own."""
    first = 1 if config.stem == "imagenet" else STEM
    widths = {layer: layer_width(config, layer) for layer in range(first, config.layers + 1)}
    return FeatureNetwork(config.name, sha256, image_size, image_size // config.patch_size, widths)


def imagenet_network(image_size: int) -> FeatureNetwork:
    """Layers are strides in pixels."""
    return FeatureNetwork(IMAGENET.architecture, IMAGENET.sha256, image_size, grid_side(image_size), IMAGENET.widths)
