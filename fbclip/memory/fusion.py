"""Fusion of FB-CLIP's margins with the distances from normal images.

Each number is first scaled: how many spreads it lies from its centre on normal images. So logits and distances add.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from fbclip.decision import Prediction
from fbclip.frozen import Frozen
from fbclip.images.geometry import FloatMap


class TermScale(Frozen):
    """Where a number lies on normal images and how much it varies there, in its own unit."""

    centre: float = Field(allow_inf_nan=False)
    spread: float = Field(gt=0, allow_inf_nan=False)


class Fusion(Frozen):
    """Shares are the memory's weight, the rest is zero-shot's; with `use: memory` both are 1.

    `image` is about an image's one number, `map` about its pixels: each has its own share and its own scales.
    """

    use: Literal["memory", "fused"]
    image_share: float = Field(ge=0, le=1)
    map_share: float = Field(ge=0, le=1)
    zero_shot_image: TermScale
    memory_image: TermScale
    zero_shot_map: TermScale
    memory_map: TermScale

    @model_validator(mode="after")
    def _alone(self) -> Fusion:
        if self.use == "memory" and (self.image_share, self.map_share) != (1, 1):
            raise ValueError(f"use memory means shares of 1, got {self.image_share} and {self.map_share}")
        return self


@dataclass(frozen=True, eq=False)
class Terms:
    """What is known of one image before it is fused.

    margin: CLS logit; map: (H,W) float32 smoothed margins; distances, where a memory was asked: distance_image,
    the mean over the farthest tokens, by the cosine in 0..2; distance_map: (H,W) float32, smoothed as the margins are.
    """

    margin: float
    map: FloatMap
    distance_image: float | None = None
    distance_map: FloatMap | None = None


def fuse(
    margin: float, map: FloatMap, distance_image: float, distance_map: FloatMap, fusion: Fusion
) -> tuple[float, FloatMap]:
    """(1 − share)·(margin − centre)/spread + share·(distance − centre)/spread of the image and of every pixel.

    Maps (H,W) float32. A non-finite term makes the result non-finite, whatever its weight.
    """
    image, pixel = fusion.image_share, fusion.map_share
    zero_shot = (margin - fusion.zero_shot_image.centre) / fusion.zero_shot_image.spread
    memory = (distance_image - fusion.memory_image.centre) / fusion.memory_image.spread
    zero_shot_map = (map - np.float32(fusion.zero_shot_map.centre)) / np.float32(fusion.zero_shot_map.spread)
    memory_map = (distance_map - np.float32(fusion.memory_map.centre)) / np.float32(fusion.memory_map.spread)
    fused = np.float32(1 - pixel) * zero_shot_map + np.float32(pixel) * memory_map
    return (1 - image) * zero_shot + image * memory, np.asarray(fused, np.float32)


def fused_prediction(terms: Terms, fusion: Fusion | None) -> Prediction:
    """The zero-shot prediction, or with `fusion` the fused one; raises ValueError for terms without distances."""
    margin, margin_map = terms.margin, terms.map
    if fusion is not None:
        if terms.distance_image is None or terms.distance_map is None:
            raise ValueError("a fusion needs the distances of a memory")
        margin, margin_map = fuse(margin, margin_map, terms.distance_image, terms.distance_map, fusion)
    return Prediction(margin, torch.sigmoid(torch.tensor(margin)).item(), np.ascontiguousarray(margin_map))
