"""The memory of the few-shot variants: half the cosine distance to the nearest row of a bank."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_ROWS_AT_ONCE = 1 << 16


def half_cosine_distance(features: Tensor, bank: Tensor) -> Tensor:
    """(B,L,C) against normalised rows (M,C) -> ½(1 − largest cosine), (B,L) in 0..1.

    Taken as ¼ of the squared distance to the nearest row: 1 minus a cosine near 1 would keep few digits.
    """
    features = F.normalize(features, dim=-1)
    best = torch.full(features.shape[:2], -2.0, device=features.device, dtype=features.dtype)
    nearest = torch.zeros_like(features)
    for rows in torch.split(bank, _ROWS_AT_ONCE):
        cosine, index = (features @ rows.T).max(dim=-1)
        closer = cosine > best
        best = torch.where(closer, cosine, best)
        nearest = torch.where(closer.unsqueeze(-1), rows[index], nearest)
    return ((features - nearest) ** 2).sum(dim=-1) / 4
