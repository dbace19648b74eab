"""What a token of a memory is: backbone tokens, averaged with their neighbours.

After PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022), from the stem or
from middle blocks.
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
from fbclip.backbone.tower import layer_width
from fbclip.frozen import Frozen

MAX_SIDE = 31


class MemoryConfig(Frozen):
    """What a token of the memory is and how it is compared; `neighbourhood` and `reach` in patches.

    `cosine` compares directions, each layer with the same say; `mahalanobis` compares tokens whitened by normal ones.

    `reach` is for cameras that see every part at the same position: a token is compared only with tokens of the memory
    at most so many rows and columns away, of a tiled image within its tile. Without it the position does not matter.
    """

    layers: tuple[int, ...] = Field(min_length=1, description="block outputs, counted from 1; 0 is the stem")
    neighbourhood: tuple[int, ...] = Field(
        (3,), min_length=1, description="sides, odd, of the squares around a patch whose means make its token"
    )
    reach: int | None = Field(None, ge=0)
    metric: Literal["cosine", "mahalanobis"] = "cosine"

    @field_validator("neighbourhood", mode="before")
    @classmethod
    def _one_side(cls, value: object) -> object:
        """A memory that knows a single neighbourhood states it as a number."""
        return (value,) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _sane(self) -> MemoryConfig:
        if list(self.layers) != sorted(set(self.layers)) or self.layers[0] < STEM:
            raise ValueError(f"layers {self.layers} must rise and start at {STEM}, the stem, or later")
        sides = self.neighbourhood
        if list(sides) != sorted(set(sides)) or any(side % 2 == 0 or not 1 <= side <= MAX_SIDE for side in sides):
            raise ValueError(f"neighbourhood {sides} must be odd, rise and stay within 1 to {MAX_SIDE}")
        return self


def default_config(backbone: BackboneConfig) -> MemoryConfig:
    """The whitened cells of a convolutional stem, alone and with their surroundings; of a plain ViT the directions of
    one block, two thirds up.

    On lines generated from materials that the embedded backbone was not trained on, its stem with 16 images had a
    mean image AUROC of 0.93 and pixel AUROC of 0.97, the best block 0.85 and 0.88. The surroundings made no difference
    there, but did on families whose images vary much. Of blocks, whitening improved the image's number and spoilt
    the map.
    """
    if backbone.stem == "conv":
        return MemoryConfig(layers=(STEM,), neighbourhood=(1, 5), metric="mahalanobis")
    return MemoryConfig(layers=(max(1, round(2 * backbone.layers / 3)),))


def memory_features(layers: Mapping[int, Tensor], config: MemoryConfig) -> Tensor:
    """Layer -> raw tokens, of a block (B,N,C), CLS first, of the stem (B,L,C) -> (B,L,F) float32.

    Each layer of `config.layers` in turn: the patches' means over each neighbourhood, at the border over the patches
    that are there. For the cosine each then has the same length, and a row of all of them length 1.
    """
    parts = []
    for layer in config.layers:
        patches = (layers[layer] if layer == STEM else layers[layer][:, 1:]).float()
        batch, count, width = patches.shape
        side = math.isqrt(count)
        grid = patches.reshape(batch, side, side, width).permute(0, 3, 1, 2)
        for around in config.neighbourhood:
            mean = F.avg_pool2d(grid, around, stride=1, padding=around // 2, count_include_pad=False)
            parts.append(mean.permute(0, 2, 3, 1).reshape(batch, count, width))
    if config.metric == "mahalanobis":
        return torch.cat(parts, dim=-1)
    return torch.cat([F.normalize(part, dim=-1) for part in parts], dim=-1) / math.sqrt(len(parts))


def feature_width(config: MemoryConfig, backbone: BackboneConfig) -> int:
    """Numbers F that a row of `memory_features` has."""
    return len(config.neighbourhood) * sum(layer_width(backbone, layer) for layer in config.layers)
