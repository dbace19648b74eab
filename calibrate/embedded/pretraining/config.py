"""What defines a pretraining run, and what follows from the number of a step: learning rate and image size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from fbclip.backbone.config import BackboneConfig


@dataclass(frozen=True)
class LossWeights:
    """Shares of the parts of the loss, and how hard positives pull."""

    contrastive: float = 0.1
    """Captions against images."""
    dense: float = 1.0
    """Patches of the last layer."""
    intermediate: float = 0.2
    """Patches of each other layer."""
    image: float = 0.5
    """The whole image, by CLS."""
    positive: float = 8.0
    """Weight of an anomalous patch against a normal one."""
    temperature: float = 0.07
    """Of the margins, as in the method."""


@dataclass(frozen=True)
class PretrainConfig:
    """One run; equal numbers on the same kind of machine give equal weights. Processes share each batch evenly.

    mixed: bfloat16 products, where the machine has them. small_share: of the steps, the first ones, which see the
    images at `small_scale` of their side: they cost half. strewn: share of the images that get inclusions.
    start_sha256: of the weights file it goes on from, empty for a random start.
    """

    steps: int
    seed: int = 0
    batch: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 200
    captions: int = 16
    mixed: bool = True
    small_scale: float = 0.75
    small_share: float = 0.7
    strewn: float = 0.35
    start_sha256: str = ""
    weights: LossWeights = field(default_factory=LossWeights)

    def rate(self, step: int) -> float:
        """Learning rate of the step after `step` steps: linear rise, then a cosine down to a hundredth."""
        rise = min(1.0, (step + 1) / self.warmup)
        share = min(1.0, step / self.steps)
        return self.learning_rate * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))

    def side(self, step: int, backbone: BackboneConfig) -> int:
        """Side in pixels of that step's images, whole patches."""
        if step >= self.small_share * self.steps:
            return backbone.image_size
        return max(1, int(self.small_scale * backbone.image_size) // backbone.patch_size) * backbone.patch_size


@dataclass(frozen=True)
class Processes:
    """This process's number among those that torchrun started; alone without it."""

    rank: int = 0
    count: int = 1


def fast_in_bfloat16(device: str) -> bool:
    """Whether products in bfloat16 are worth it: on a CPU without AVX-512 a step took seven times as long."""
    return device.startswith("cuda") or torch.backends.cpu.get_cpu_capability() == "AVX512"
