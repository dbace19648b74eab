"""FB-CLIP's losses. Section 7 of the method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fbclip.method.config import ConsistencyConfig
from fbclip.method.consistency import consistency_loss
from fbclip.method.model import HeadOutput

FOCAL_GAMMA = 4.0
DICE_WEIGHT = 0.2


@dataclass(frozen=True, eq=False)
class Losses:
    """Scalars; `total` is their sum, `dice` already weighted. Without masks the two pixel terms are 0."""

    focal_image: Tensor
    focal_pixel: Tensor
    dice: Tensor
    consistency: Tensor

    @property
    def total(self) -> Tensor:
        return self.focal_image + self.focal_pixel + self.dice + self.consistency

    def row(self) -> list[float]:
        """total, focal_image, focal_pixel, dice, consistency."""
        parts = (self.total, self.focal_image, self.focal_pixel, self.dice, self.consistency)
        return [float(part.detach()) for part in parts]


def focal(probability: Tensor, target: Tensor) -> Tensor:
    """Mean of BCE·(1 − p_t)^4 over all elements; both tensors of one shape, values in 0..1."""
    bce = F.binary_cross_entropy(probability, target, reduction="none")
    p_t = probability * target + (1 - probability) * (1 - target)
    return (bce * (1 - p_t) ** FOCAL_GAMMA).mean()


def dice(probability: Tensor, mask: Tensor) -> Tensor:
    """1 − mean over images of (2Σpm + 1)/(Σp + Σm + 1); (B,S,S) each."""
    p, m = probability.flatten(1), mask.flatten(1)
    overlap = (2 * (p * m).sum(1) + 1) / (p.sum(1) + m.sum(1) + 1)
    return 1 - overlap.mean()


def tuning_losses(
    output: HeadOutput,
    prototypes: Tensor,
    labels: Tensor,
    masks: Tensor | None,
    temperature: float,
    scr: ConsistencyConfig,
) -> Losses:
    """labels (B,) and masks (B,S,S), float 0 or 1; the map is brought to the masks' size, bilinear."""
    zero = output.margins.new_zeros(())
    focal_pixel, dice_pixel = zero, zero
    if masks is not None:
        grid = torch.sigmoid(output.grid_margin).unsqueeze(1)
        full = F.interpolate(grid, size=masks.shape[-2:], mode="bilinear", align_corners=False).squeeze(1)
        # Interpolating probabilities can step over 1 by rounding, which BCE refuses.
        full = full.clamp(0, 1)
        focal_pixel = focal(full, masks)
        dice_pixel = DICE_WEIGHT * dice(full, masks)
    return Losses(
        focal(torch.sigmoid(output.image_margin), labels),
        focal_pixel,
        dice_pixel,
        consistency_loss(output.projected, prototypes, temperature, scr),
    )
