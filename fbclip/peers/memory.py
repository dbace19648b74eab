"""The memory of the few-shot variants: half the cosine distance to the nearest row of a bank."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_ROWS_AT_ONCE = 1 << 16


def half_cosine_distance(features: Tensor, bank: Tensor) -> Tensor:
    """(B,L,C) against normalised rows (M,C) -> ½(1 − largest cosine), (B,L) in 0..1."""
    features = F.normalize(features, dim=-1)
    best = torch.full(features.shape[:2], -1.0, device=features.device, dtype=features.dtype)
    for rows in torch.split(bank, _ROWS_AT_ONCE):
        best = torch.maximum(best, (features @ rows.T).amax(dim=-1))
    # Rounding may make a cosine larger than 1.
    return ((1 - best) / 2).clamp_min(0)
