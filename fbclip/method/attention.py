"""FB-Attention, one module shared by all layers and views. Section 5 of the method (paper 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.method.config import AttentionConfig
from fbclip.method.stacked import StackedTokens, StackedWeights


class Gate(nn.Sequential):
    """W₂ relu(W₁ x): (B,N,C) -> (B,N,1); a Sequential, since adapters store its layers as `gate.0` and `gate.2`."""

    def __init__(self, width: int) -> None:
        hidden, out = nn.Linear(width, width // 2), nn.Linear(width // 2, 1)
        super().__init__(hidden, nn.ReLU(), out)
        # In a tuple, so that they are not registered under a second name.
        self.linear = (hidden, out)

    def after_hidden(self, hidden: Tensor) -> Tensor:
        """The rest of the gate, from W₁ x + its bias (B,N,C/2) on."""
        return torch.as_tensor(self.linear[1](F.relu(hidden)))


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
        """W·γ (3·inner,C) and W·β (3·inner,) of q, k and v; the learned scale is taken into q."""
        weight = torch.cat((self.to_q.weight * self.scale, self.to_k.weight, self.to_v.weight))
        return weight * self.norm.weight, weight @ self.norm.bias


class FBAttention(nn.Module):
    """(B,N,C) -> (B,N,C): a scalar gate splits each token into a foreground and a background share.

    g = sigmoid(W₂ relu(W₁ x)); out = LN(foreground(g·x) + background((1−g)·x)). No residual, CLS is one of the tokens.
    `product_dtype` is that of the matrix products; gate and norms are float32 whatever it is.
    """

    def __init__(self, width: int, config: AttentionConfig) -> None:
        super().__init__()
        self.gate = Gate(width)
        self.foreground = AttentionBranch(width, config)
        self.background = AttentionBranch(width, config)
        self.norm = nn.LayerNorm(width)
        self.product_dtype: torch.dtype | None = None

    def stacked_weights(self) -> StackedWeights:
        """All maps that act on the tokens themselves, with today's parameters."""
        hidden = self.gate.linear[0].weight
        (fore, fore_offset), (back, back_offset) = self.foreground.stacked(), self.background.stacked()
        dtype = self.product_dtype or hidden.dtype
        # q of both branches, then k, then v: twice as many heads of one attention.
        qkv = torch.stack((fore.view(3, -1, fore.shape[1]), back.view(3, -1, back.shape[1])), dim=1)
        offset = torch.stack((fore_offset.view(3, -1), back_offset.view(3, -1)), dim=1)
        return StackedWeights(torch.cat((hidden, qkv.flatten(0, 2))).to(dtype), hidden.sum(dim=1), offset.to(dtype))

    def forward(self, tokens: StackedTokens, weights: StackedWeights) -> Tensor:
        """Tokens stacked with `weights`, which `stacked_weights` gave -> (B,N,C)."""
        width, half = tokens.centred.shape[-1], len(weights.hidden_sums)
        variance = torch.linalg.vector_norm(tokens.centred, dim=-1, keepdim=True).square() / width
        hidden = torch.addcmul(tokens.product[..., :half] + self.gate.linear[0].bias, tokens.mean, weights.hidden_sums)
        z = self.gate.after_hidden(hidden)
        # sigmoid(−z) is 1 − sigmoid(z) without the cancellation that a saturated gate suffers from.
        gate = torch.sigmoid(torch.cat((z, -z), dim=-1))  # (B,N,2)
        gain = gate * torch.rsqrt(gate.square() * variance + self.foreground.norm.eps)
        out = self._attend(tokens.product[..., half:], weights.offset, gain)
        return torch.as_tensor(self.norm(out.to(tokens.centred.dtype)))

    def _attend(self, product: Tensor, offset: Tensor, gain: Tensor) -> Tensor:
        """Σ over the branches of W_out softmax(q·kᵀ·scale)·v + its bias, with q, k, v = gain·product + offset.

        product (B,N,6·inner) of the centred tokens; offset (3,2,inner); gain (B,N,2). Both branches are one attention
        of twice as many heads, and their outputs one product. Returns (B,N,C) in the dtype of `product`.
        """
        b, n, _ = product.shape
        gains = gain.to(product.dtype).view(b, n, 1, 2, 1)
        qkv = torch.addcmul(offset, product.view(b, n, 3, 2, -1), gains)  # (B,N,3,2,inner)
        q, k, v = qkv.reshape(b, n, 3, 2 * self.foreground.heads, -1).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v, scale=1.0).transpose(1, 2).reshape(b, n, -1)
        fore, back = self.foreground.to_out, self.background.to_out
        weight = torch.cat((fore.weight, back.weight), dim=1)
        return F.linear(out, weight.to(out.dtype), (fore.bias + back.bias).to(out.dtype))
