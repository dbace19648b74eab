"""Background prototype and its subtraction. Section 6 of the method (paper 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

NORM_FLOOR = 1e-8


def background_prototype(attended: Sequence[Tensor]) -> Tensor:
    """K·V attended tensors (B,N,C) -> (B,C): half mean, half maximum of the first N//2 tokens of them all.

    "First half" is by position (CLS and the top of the image), as in the released code.
    """
    half = attended[0].shape[1] // 2
    # The tensors are of one size, so the mean of their means is that of the bank, which is never put together.
    mean = torch.stack([a[:, :half].mean(dim=1) for a in attended]).mean(dim=0)
    peak = torch.stack([a[:, :half].amax(dim=1) for a in attended]).amax(dim=0)
    return 0.5 * mean + 0.5 * peak


def subtract_and_project(attended: Tensor, background: Tensor | None, projection: Tensor) -> Tensor:
    """F' = ½F + ½(F − b)(1 − cos(F,b)), projected: (B,N,C), (B,C), (C,D) -> (B,N,D), not normalised.

    F' = (½ + ½u)F − ½u·b with u = 1 − cos(F,b), so F and b are each projected once. Without `background` F' is F.
    """
    if background is None:
        return attended @ projection
    b = background.unsqueeze(1)
    unit = F.normalize(background, dim=-1).unsqueeze(-1)  # (B,C,1)
    norm = torch.linalg.vector_norm(attended, dim=-1, keepdim=True).clamp_min(NORM_FLOOR)
    u = 1 - (attended @ unit) / norm  # (B,N,1)
    return torch.addcmul((0.5 + 0.5 * u) * (attended @ projection), u, b @ projection, value=-0.5)
