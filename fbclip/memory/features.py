"""What a token of a memory is: tokens of a frozen network, averaged with their neighbours.

After PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022): of the backbone's stem
or middle blocks, or of a network that was trained on real images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor
from torch.nn import functional as F

from fbclip.backbone.config import STEM, BackboneConfig
from fbclip.features.catalog import IMAGENET, Features
from fbclip.frozen import Frozen
from fbclip.memory.network import FeatureNetwork

MAX_SIDE = 31

_FARTHEST: dict[Features, int] = {"backbone": 50, "imagenet": 100}


class MemoryConfig(Frozen):
    """What a token of the memory is and how it is compared; `neighbourhood` and `reach` in patches.

    `cosine` compares directions, each layer with the same say; `mahalanobis` compares tokens whitened by normal ones.

    `reach` is for cameras that see every part at the same position: a token is compared only with tokens of the memory
    at most so many rows and columns away, of a tiled image within its tile. Without it the position does not matter.

    `nearest` joint: a token has one nearest neighbour, by all its layers and neighbourhoods together; each: one by
    each of them; as each part of a row has the same length, the sum of their squared distances is a mean.
    """

    features: Features = "backbone"
    layers: tuple[int, ...] = Field(
        min_length=1, description="blocks of the backbone, counted from 1, 0 is its stem; strides of imagenet, 8 and 16"
    )
    neighbourhood: tuple[int, ...] = Field(
        (3,), min_length=1, description="sides, odd, of the squares around a patch whose means make its token"
    )
    reach: int | None = Field(None, ge=0)
    metric: Literal["cosine", "mahalanobis"] = "cosine"
    nearest: Literal["joint", "each"] = "joint"

    @field_validator("neighbourhood", mode="before")
    @classmethod
    def _one_side(cls, value: object) -> object:
        """A memory that knows a single neighbourhood states it as a number."""
        return (value,) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _sane(self) -> MemoryConfig:
        if list(self.layers) != sorted(set(self.layers)) or self.layers[0] < STEM:
            raise ValueError(f"layers {self.layers} must rise and start at {STEM}, the stem, or later")
        if self.features == "imagenet" and not set(self.layers) <= IMAGENET.widths.keys():
            raise ValueError(
                f"layers {self.layers} of imagenet must be of the strides {tuple(IMAGENET.widths)}; blocks take "
                "--features backbone"
            )
        sides = self.neighbourhood
        if list(sides) != sorted(set(sides)) or any(side % 2 == 0 or not 1 <= side <= MAX_SIDE for side in sides):
            raise ValueError(f"neighbourhood {sides} must be odd, rise and stay within 1 to {MAX_SIDE}")
        if self.nearest == "each" and self.metric == "mahalanobis":
            raise ValueError("metric mahalanobis whitens all layers together, which takes nearest joint")
        return self

    @property
    def farthest(self) -> int:
        """An image's distance is the mean of the largest L // farthest of its L tokens', at least of one."""
        return _FARTHEST[self.features]


def default_features(backbone: BackboneConfig) -> Features:
    """What a memory beside `backbone` looks with: a backbone that looks through frozen features shares its one pass."""
    return "imagenet" if backbone.stem == "imagenet" else "backbone"


def default_config(backbone: BackboneConfig, features: Features | None = None) -> MemoryConfig:
    """Of imagenet the directions of both strides; of a ViT those of the blocks at each quarter of its depth.

    Blocks 6, 12, 18 and 24 of ViT-L, neighbourhoods of 1 and 3 patches, a nearest neighbour by the cosine in each, and
    their mean: as in the few-shot branch of AF-CLIP (ACM MM 2025), less its widest neighbourhood. The model card says
    how those of imagenet were chosen.
    """
    if (features or default_features(backbone)) == "imagenet":
        return MemoryConfig(features="imagenet", layers=tuple(IMAGENET.widths))
    quarters = tuple(sorted({max(1, round(backbone.layers * quarter / 4)) for quarter in range(1, 5)}))
    return MemoryConfig(layers=quarters, neighbourhood=(1, 3), nearest="each")


def memory_features(layers: Mapping[int, Tensor], config: MemoryConfig) -> Tensor:
    """Layer -> raw tokens, of a block (B,N,C), CLS first, of stem and strides (B,L,C) -> (B,L,F) float32.

    Each layer of `config.layers` in turn: the patches' means over each neighbourhood, at the border over the patches
    that are there. For the cosine each then has the same length, and a row of all of them length 1.
    """
    parts = []
    for layer in config.layers:
        has_cls = config.features == "backbone" and layer != STEM
        patches = (layers[layer][:, 1:] if has_cls else layers[layer]).float()
        batch, count, width = patches.shape
        side = math.isqrt(count)
        grid = patches.reshape(batch, side, side, width).permute(0, 3, 1, 2)
        for around in config.neighbourhood:
            mean = F.avg_pool2d(grid, around, stride=1, padding=around // 2, count_include_pad=False)
            parts.append(mean.permute(0, 2, 3, 1).reshape(batch, count, width))
    if config.metric == "mahalanobis":
        return torch.cat(parts, dim=-1)
    return torch.cat([F.normalize(part, dim=-1) for part in parts], dim=-1) / math.sqrt(len(parts))


def feature_width(config: MemoryConfig, network: FeatureNetwork) -> int:
    """Numbers F that a row of `memory_features` has; KeyError for a layer that the network lacks."""
    return len(config.neighbourhood) * sum(network.widths[layer] for layer in config.layers)
