"""Layers that train fast on a CPU and compute what the run time's layers compute."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from fbclip.backbone.stem import ImageNorm
from fbclip.backbone.tower import SelfAttention


class TrainingAttention(SelfAttention):
    """On a CPU the fused kernel's backward pass is slow: plain products halved a step's time."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Softmax in float32, products in the dtype given."""
        if q.is_cuda:
            return super().attend(q, k, v)
        weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        return torch.matmul(weights.float().softmax(dim=-1).to(v.dtype), v)


class _FastNorm(torch.autograd.Function):
    """ImageNorm of positions (B,N,C) with its sums as matrix products; torch's own backward took ten times as long."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        mean = _position_mean(x)
        centred = x - mean.to(x.dtype)
        inverse = torch.rsqrt(_position_mean(centred * centred) + eps)
        ctx.save_for_backward(centred, inverse, weight)
        return torch.addcmul(bias.to(x.dtype), centred, (inverse * weight).to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (grad,) = grads
        centred, inverse, weight = ctx.saved_tensors
        mean, along = _position_mean(grad), _position_mean(grad * centred)
        gain, positions = inverse * weight, centred.shape[1]
        out = torch.addcmul((-gain * mean).to(grad.dtype), grad, gain.to(grad.dtype))
        out.addcmul_(centred, (-gain * inverse.square() * along).to(grad.dtype))
        return out, (along * inverse).sum(dim=(0, 1)) * positions, mean.sum(dim=(0, 1)) * positions, None


def _position_mean(x: Tensor) -> Tensor:
    """(B,N,C) -> float32 (B,1,C); the product adds up in float32 whatever goes in."""
    ones = torch.ones(1, 1, 1, dtype=x.dtype, device=x.device).expand(len(x), 1, x.shape[1])
    return torch.bmm(ones, x).float() / x.shape[1]


class TrainingNorm(ImageNorm):
    """The stem's norm for training: equal up to the rounding of its input's dtype."""

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w) -> the same."""
        batch, channels, height, width = x.shape
        positions = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        out = _FastNorm.apply(positions, self.weight, self.bias, self.eps)
        return torch.as_tensor(out).view(batch, height, width, channels).permute(0, 3, 1, 2)


class CaptionEmbedding(nn.Module):
    """The vocabulary rows (R,) that captions use, as an embedding: the whole table cost a tenth of each step."""

    rows: Tensor
    positions: Tensor

    def __init__(self, rows: Tensor, vocab_size: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(len(rows), width))
        positions = torch.full((vocab_size,), len(rows))  # beyond the table: an unknown word is an error
        positions[rows.long()] = torch.arange(len(rows))
        self.register_buffer("rows", rows.to(torch.int32), persistent=False)
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (P,T) -> (P,T,W)."""
        return F.embedding(self.positions[ids], self.weight)
