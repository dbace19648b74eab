"""Layers that train fast on a CPU and compute what the run time's layers compute."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.backbone.tower import SelfAttention


class TrainingAttention(SelfAttention):
    """On a CPU the fused kernel's backward pass is slow: plain products halved a step's time."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Softmax in float32, products in the dtype given."""
        if q.is_cuda:
            return super().attend(q, k, v)
        weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        return torch.matmul(weights.float().softmax(dim=-1).to(v.dtype), v)


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
