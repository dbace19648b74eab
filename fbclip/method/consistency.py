"""SCR, the semantic consistency loss of tuning. Section 7 of the method (paper 3.5)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fbclip.method.config import ConsistencyConfig


def consistency_loss(projected: Tensor, prototypes: Tensor, temperature: float, config: ConsistencyConfig) -> Tensor:
    """Last projected tensor (B,N,D) before its normalisation, prototypes (2,D) -> scalar."""
    mean = F.normalize(projected.mean(dim=1), dim=-1)
    logits = mean @ prototypes.T / temperature  # (B,2)
    p = logits.softmax(dim=-1)
    entropy = -(p * torch.log(p + config.entropy_floor)).sum(dim=-1)
    gap = F.relu(config.margin - (logits[:, 1] - logits[:, 0]).abs())
    return config.weight * (config.weight_entropy * entropy.mean() + config.weight_margin * gap.mean())
