"""Background prototype and its subtraction. Section 6 of the method (paper 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def background_prototype(attended: Sequence[Tensor]) -> Tensor:
    """K·V attended tensors (B,N,C) -> (B,C): half mean, half maximum of the first N//2 tokens of them all.

    "First half" is by position (CLS and the top of the picture), as in the released code.
    """
    half = attended[0].shape[1] // 2
    bank = torch.stack([a[:, :half] for a in attended], dim=1).flatten(1, 2)  # (B, K·V·half, C)
    return 0.5 * bank.mean(dim=1) + 0.5 * bank.amax(dim=1)


def subtract_and_project(attended: Tensor, background: Tensor, projection: Tensor) -> Tensor:
    """F' = ½F + ½(F − b)(1 − cos(F,b)), projected: (B,N,C), (B,C), (C,D) -> (B,N,D), not normalised.

    F' = (½ + ½u)F − ½u·b with u = 1 − cos(F,b), so F and b are each projected once.
    """
    b = background.unsqueeze(1)
    u = 1 - torch.nn.functional.cosine_similarity(attended, b, dim=-1).unsqueeze(-1)  # (B,N,1)
    return (0.5 + 0.5 * u) * (attended @ projection) - (0.5 * u) * (b @ projection)
