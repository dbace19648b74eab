"""What pretraining asks for: captions match their images, and patches know which words fit them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from calibrate.embedded.batches import PATCH_FLOOR


@dataclass(frozen=True)
class LossWeights:
    """Shares of the parts of the loss, and how hard positives pull."""

    contrastive: float = 0.1
    dense: float = 1.0
    intermediate: float = 0.2
    image: float = 0.5
    cells: float = 0.5
    positive: float = 8.0
    temperature: float = 0.07


def margins(tokens: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """Tokens (B,N,D), unit prototypes (2,D) [normal, abnormal] -> abnormal minus normal logits (B,N).

    Along the unit direction between the prototypes: they begin almost equal, and with their plain difference hardly
    any gradient came through (patch AUROC 0.51 after 900 steps).
    """
    unit = F.normalize(tokens.float(), dim=-1)
    return unit @ F.normalize(prototypes[1] - prototypes[0], dim=0) / temperature


def patch_targets(cover: Tensor) -> tuple[Tensor, Tensor]:
    """Cover (B,g,g) -> flat (target, weight), float32 (B,g·g); patches barely touched have weight 0."""
    flat = cover.flatten(1)
    return (flat > PATCH_FLOOR).float(), ((flat > PATCH_FLOOR) | (flat <= 1e-4)).float()


def contrastive(images: Tensor, texts: Tensor, captions: Sequence[str], scale: Tensor) -> Tensor:
    """Symmetric cross entropy of unit features (B,D); equal captions are all right answers."""
    same = torch.tensor([[a == b for b in captions] for a in captions], dtype=torch.float32, device=images.device)
    target = same / same.sum(dim=1, keepdim=True)
    logits = scale.exp().clamp(max=100) * images @ texts.t()
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target)) / 2


def dense_loss(tokens: Sequence[Tensor], cover: Tensor, prototypes: Tensor, weights: LossWeights) -> Tensor:
    """Binary cross entropy of patch margins, the last layer in full and the others lightly."""
    target, weight = patch_targets(cover)
    pull = torch.tensor(weights.positive, device=cover.device)
    total = torch.zeros((), device=cover.device)
    for k, layer in enumerate(tokens):
        share = weights.dense if k == len(tokens) - 1 else weights.intermediate
        margin = margins(layer[:, 1:], prototypes, weights.temperature)
        total = total + share * F.binary_cross_entropy_with_logits(margin, target, weight, pos_weight=pull)
    return total


def image_loss(cls: Tensor, cover: Tensor, prototypes: Tensor, weights: LossWeights) -> Tensor:
    """The same for CLS (B,D) and whether the crop shows any defect."""
    target, _ = patch_targets(cover)
    margin = margins(cls.unsqueeze(1), prototypes, weights.temperature)[:, 0]
    return weights.image * F.binary_cross_entropy_with_logits(margin, target.amax(dim=1))


def cell_loss(probed: Tensor, cells: Tensor, weights: LossWeights) -> Tensor:
    """Logits and covered shares of the stem's cells (B,2g,2g): finer than patches, so small defects count."""
    pull = torch.tensor(weights.positive / 2, device=cells.device)
    return weights.cells * F.binary_cross_entropy_with_logits(probed.float(), cells, pos_weight=pull)
