"""FB-Attention, one module shared by all layers and views. Section 5 of the method (paper 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.config import AttentionConfig


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

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        weight = torch.cat((self.to_q.weight * self.scale, self.to_k.weight, self.to_v.weight))
        qkv = F.linear(self.norm(x).to(weight.dtype), weight).view(b, n, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B,heads,N,head_width)
        out = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        return torch.as_tensor(self.to_out(out.transpose(1, 2).reshape(b, n, -1)).to(x.dtype))


class FBAttention(nn.Module):
    """(B,N,C) -> (B,N,C): a scalar gate splits each token into a foreground and a background share."""

    def __init__(self, width: int, config: AttentionConfig) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, 1))
        self.foreground = AttentionBranch(width, config)
        self.background = AttentionBranch(width, config)
        self.norm = nn.LayerNorm(width)

    def compute_in(self, dtype: torch.dtype) -> FBAttention:
        """The two branches' products in `dtype`; gate and norms stay float32."""
        for branch in (self.foreground, self.background):
            for part in (branch.to_q, branch.to_k, branch.to_v, branch.to_out):
                part.to(dtype)
            branch.scale.data = branch.scale.data.to(dtype)
        return self

    def forward(self, x: Tensor) -> Tensor:
        z = self.gate(x)
        # sigmoid(−z) is 1 − sigmoid(z) without the cancellation that a saturated gate suffers from.
        mixed = self.foreground(torch.sigmoid(z) * x) + self.background(torch.sigmoid(-z) * x)
        return torch.as_tensor(self.norm(mixed))
