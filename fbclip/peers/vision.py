"""A backbone's blocks taken apart: what the compared methods do with them beside running them one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.backbone.tower import Backbone, SelfAttention


def embed(backbone: Backbone, tokens: Tensor) -> Tensor:
    """Tokens (...,C) -> CLIP's embedding (...,D), not normalised. Only the CLS was trained for it."""
    return torch.as_tensor(backbone.visual.ln_post(tokens) @ backbone.projection)


def attended(block: nn.Module, z: Tensor) -> Tensor:
    """Ordinary self-attention of normed tokens z (B,N,C)."""
    return torch.as_tensor(block.get_submodule("attn")(z, z, z)[0]).float()


def value_attended(block: nn.Module, z: Tensor) -> Tensor:
    """The same with the values in place of queries and keys: softmax(v·vᵀ·scale)·v, through the block's projection."""
    attention = block.get_submodule("attn")
    assert isinstance(attention, SelfAttention)
    b, n, c = z.shape
    values = F.linear(z, attention.in_proj_weight[2 * c :], attention.in_proj_bias[2 * c :])
    v = values.view(b, n, attention.heads, -1).transpose(1, 2)
    out = attention.attend(v, v, v).transpose(1, 2).reshape(b, n, c)
    return torch.as_tensor(attention.out_proj(out)).float()


def mlp(block: nn.Module, tokens: Tensor) -> Tensor:
    """Of un-normed tokens (B,N,C), without the residual."""
    return torch.as_tensor(block.mlp(block.ln_2(tokens)))  # type: ignore[operator]


def start(backbone: Backbone, images: Tensor) -> Tensor:
    """Images (B,3,S,S) -> what goes into the first block, (B,N,C)."""
    return torch.as_tensor(backbone.visual.ln_pre(backbone.positioned(images)))


@dataclass(frozen=True, eq=False)
class DualTokens:
    """ordinary: raw tokens (B,N,C) of the last block; second: layer -> tokens of the second path, (B,N,C)."""

    ordinary: Tensor
    second: dict[int, Tensor]


def dual_path(backbone: Backbone, images: Tensor, dual_blocks: int, layers: Sequence[int]) -> DualTokens:
    """AnomalyCLIP's two paths: the last `dual_blocks` blocks add value attention to a path that sees no MLP.

    Before them both paths are one.
    """
    blocks = backbone.visual.transformer.resblocks
    plain = max(0, len(blocks) - dual_blocks)
    ordinary = start(backbone, images)
    second, found = ordinary, {}
    for number, block in enumerate(blocks, start=1):
        if number <= plain:
            ordinary = second = block(ordinary)
        else:
            z = block.ln_1(ordinary)
            second = second + value_attended(block, z)
            ordinary = ordinary + attended(block, z)
            ordinary = ordinary + mlp(block, ordinary)
        if number in layers:
            found[number] = second
    return DualTokens(ordinary, found)


@dataclass(frozen=True, eq=False)
class StageTokens:
    """Of one layer of CLIP-AD: the ordinary path as it is kept, and the second path, (B,N,C) each."""

    original: Tensor
    second: Tensor


def staged_path(backbone: Backbone, images: Tensor, ends: Sequence[int]) -> dict[int, StageTokens]:
    """CLIP-AD's two paths over all blocks; the second starts anew after each stage and has no input of its own.

    What is kept of the ordinary path at a stage's end already holds the attention of the next block, without its MLP:
    the released code adds that in place.
    """
    blocks = list(backbone.visual.transformer.resblocks)
    ordinary = start(backbone, images)
    second = torch.zeros_like(ordinary)
    ended: dict[int, Tensor] = {}
    found: dict[int, StageTokens] = {}
    for number, block in enumerate(blocks, start=1):
        z = block.ln_1(ordinary)
        values = value_attended(block, z)
        second = values if number == 1 or number - 1 in ends else second + values
        ordinary = ordinary + attended(block, z)
        if number - 1 in ended:
            found[number - 1] = StageTokens(ordinary, ended[number - 1])
        ordinary = ordinary + mlp(block, ordinary)
        if number in ends:
            ended[number] = second
    last = len(blocks)
    if last in ended:
        found[last] = StageTokens(ordinary, ended[last])
    return found
