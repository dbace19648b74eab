"""FB-Attention, one module shared by all layers and views. Section 5 of the method (paper 3.3).

Its front is linear but for two numbers a token: with μ and σ² of a token x, LN(g·x) = γ ⊙ (x−μ)·g/√(g²σ²+ε) + β.
So the gate's hidden layer and q, k, v of both branches are one product of the centred tokens, and a view that is a
linear mix of tokens takes its product from theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.method.config import AttentionConfig


@dataclass(frozen=True, eq=False)
class Centred:
    """Tokens as they enter the front: values (B,N,C) without their mean (B,N,1)."""

    values: Tensor
    mean: Tensor


def centre(x: Tensor) -> Centred:
    """(B,N,C) -> tokens without their mean over C."""
    mean = x.mean(dim=-1, keepdim=True)
    return Centred(x - mean, mean)


@dataclass(frozen=True, eq=False)
class Front:
    """The stacked linear maps, made once a forward: rows of W₁, then q, k, v of the fore- and the background branch.

    weight (P,C) with P = C/2 + 6·inner, in the dtype of the products; shift (C/2,) are the row sums of W₁; `offsets`
    (3·inner,) are W·β of each branch.
    """

    weight: Tensor
    shift: Tensor
    offsets: tuple[Tensor, Tensor]

    def product(self, centred: Tensor) -> Tensor:
        """(B,N,C) without its mean -> (B,N,P)."""
        return F.linear(centred.to(self.weight.dtype), self.weight)


class AttentionBranch(nn.Module):
    """LayerNorm -> multi-head attention with one learned scale -> linear: (B,N,C) -> (B,N,C)."""

    def __init__(self, width: int, config: AttentionConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_width
        self.heads = config.heads
        self.norm = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_k = nn.Linear(width, inner, bias=False)
        self.to_v = nn.Linear(width, inner, bias=False)
        self.to_out = nn.Linear(inner, width)
        self.scale = nn.Parameter(torch.tensor(config.head_width**-0.5))

    def stacked(self) -> tuple[Tensor, Tensor]:
        """W·γ (3·inner,C) and W·β (3·inner,); the learned scale is taken into q."""
        weight = torch.cat((self.to_q.weight * self.scale, self.to_k.weight, self.to_v.weight))
        return weight * self.norm.weight, weight @ self.norm.bias

    def attend(self, product: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
        """product (B,N,3·inner) and gain (B,N,1) of each token -> (B,N,C) in the dtype of `product`."""
        b, n, _ = product.shape
        qkv = torch.addcmul(offset, product, gain).view(b, n, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B,heads,N,head_width)
        out = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        weight, bias = self.to_out.weight.to(out.dtype), self.to_out.bias.to(out.dtype)
        return F.linear(out.transpose(1, 2).reshape(b, n, -1), weight, bias)


class FBAttention(nn.Module):
    """(B,N,C) -> (B,N,C): a scalar gate splits each token into a foreground and a background share.

    `product_dtype` is that of the matrix products; gate and norms are float32 whatever it is.
    """

    def __init__(self, width: int, config: AttentionConfig) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, 1))
        self.foreground = AttentionBranch(width, config)
        self.background = AttentionBranch(width, config)
        self.norm = nn.LayerNorm(width)
        self.product_dtype: torch.dtype | None = None

    def front(self) -> Front:
        """The stacked maps with today's parameters."""
        hidden = self._gate(0).weight
        (fore, fore_offset), (back, back_offset) = self.foreground.stacked(), self.background.stacked()
        dtype = self.product_dtype or hidden.dtype
        weight = torch.cat((hidden, fore, back)).to(dtype)
        return Front(weight, hidden.sum(dim=1), (fore_offset.to(dtype), back_offset.to(dtype)))

    def _gate(self, index: int) -> nn.Linear:
        layer = self.gate[index]
        assert isinstance(layer, nn.Linear)
        return layer

    def forward(self, front: Front, product: Tensor, tokens: Centred) -> Tensor:
        """`product` (B,N,P) is `front.product(tokens.values)`, however it was come by -> (B,N,C)."""
        width, half = tokens.values.shape[-1], len(front.shift)
        variance = torch.linalg.vector_norm(tokens.values, dim=-1, keepdim=True).square() / width
        hidden = torch.addcmul(product[..., :half] + self._gate(0).bias, tokens.mean, front.shift)
        z = self._gate(2)(F.relu(hidden))
        mixed: Tensor | None = None
        parts = product[..., half:].chunk(2, dim=-1)
        # sigmoid(−z) is 1 − sigmoid(z) without the cancellation that a saturated gate suffers from.
        for branch, part, offset, gate in zip(
            (self.foreground, self.background), parts, front.offsets, (torch.sigmoid(z), torch.sigmoid(-z)), strict=True
        ):
            gain = gate * torch.rsqrt(gate.square() * variance + branch.norm.eps)
            out = branch.attend(part, gain.to(part.dtype), offset)
            mixed = out if mixed is None else mixed + out
        assert mixed is not None
        return torch.as_tensor(self.norm(mixed.to(tokens.values.dtype)))
