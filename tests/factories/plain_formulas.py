"""The method written plainly from its formulas, in float64 and with loops: slow, and easy to check by eye."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fbclip.method.attention import AttentionBranch, FBAttention
from fbclip.method.model import Head


def cosine(a: Tensor, b: Tensor) -> Tensor:
    length = a.norm() * b.norm()
    return a.new_zeros(()) if length == 0 else a @ b / length


def unit_range(values: Tensor) -> Tensor:
    return (values - values.min()) / max((values.max() - values.min()).item(), 1e-6)


def foreground(tokens: Tensor, previous: Tensor | None) -> Tensor:
    """(N,C) -> (L,)"""
    cls, t = tokens[0], tokens[1:]
    count = len(t)
    zero = torch.zeros_like(t[0])
    at = lambda i: t[i] if 0 <= i < count else zero  # noqa: E731
    local = torch.stack([(t[i] - (at(i - 1) + t[i] + at(i + 1)) / 3).norm() for i in range(count)])
    center = torch.stack([(row - t.mean(0)).norm() for row in t])
    away = torch.stack([1 - cosine(row, cls) for row in t])
    total = 0.3 * unit_range(local) + 0.3 * unit_range(center) + 0.3 * unit_range(away)
    if previous is not None:
        total = total + 0.1 * unit_range((t - previous[1:]).norm(dim=1))
    mirrored = lambda i: -i if i < 0 else (2 * (count - 1) - i if i >= count else i)  # noqa: E731
    smooth = [sum(total[mirrored(i + d)] for d in range(-2, 3)) / 5 for i in range(count)]
    return torch.tensor([1.0 if value > 0.5 else 0.5 for value in smooth], dtype=t.dtype)


def semantic(tokens: Tensor, p: Tensor, share: float = 0.6) -> Tensor:
    """(N,C), (L,) -> (N,C) with the full L×L softmaxes."""
    cls, t = tokens[0], tokens[1:]
    cos = torch.stack([cosine(row, cls) for row in t])
    a, b = (1 - cos) * p, cos * (1 - p)
    fore = torch.softmax(a[:, None] * p[None, :], dim=1) @ t
    back = torch.softmax(b[:, None] * (1 - p)[None, :], dim=1) @ t
    mixed = share * (p[:, None] * fore + (1 - p)[:, None] * back) + (1 - share) * t
    return torch.cat((cls[None], mixed))


def spatial(tokens: Tensor, p: Tensor, reach: int = 2) -> Tensor:
    """(N,C), (L,) -> (N,C), each window gathered by hand; padding has token 0 and p = 0."""
    cls, t = tokens[0], tokens[1:]
    side = math.isqrt(len(t))
    out = []
    for y in range(side):
        for x in range(side):
            window, share = [], []
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    inside = 0 <= y + dy < side and 0 <= x + dx < side
                    index = (y + dy) * side + x + dx
                    window.append(t[index] if inside else torch.zeros_like(cls))
                    share.append(p[index] if inside else p.new_zeros(()))
            positions, q = torch.stack(window), torch.stack(share)
            xb, xf = (1 - q)[:, None] * positions, q[:, None] * positions
            s = torch.stack([cosine(row, cls) * row.norm() for row in xb])
            back = torch.softmax(s, 0) @ xb / max((1 - q).sum().item(), 1e-8)
            mean = xf.mean(0)
            r = torch.stack([(1 - cosine(row, cls)) * (row - mean).norm() for row in xf])
            front = torch.softmax(r, 0) @ xf / max(q.sum().item(), 1e-8)
            out.append(back + front)
    return torch.cat((cls[None], torch.stack(out)))


def layer_norm(x: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * norm.weight + norm.bias


def branch(x: Tensor, b: AttentionBranch) -> Tensor:
    x = layer_norm(x, b.norm)
    q, k, v = x @ b.to_q.weight.T, x @ b.to_k.weight.T, x @ b.to_v.weight.T
    width = q.shape[-1] // b.heads
    parts = []
    for h in range(b.heads):
        s = slice(h * width, (h + 1) * width)
        parts.append(torch.softmax(q[:, s] @ k[:, s].T * b.scale, dim=1) @ v[:, s])
    return torch.cat(parts, dim=1) @ b.to_out.weight.T + b.to_out.bias


def attention(x: Tensor, module: FBAttention) -> Tensor:
    """(N,C) -> (N,C)"""
    first, last = module.gate[0], module.gate[2]
    g = torch.sigmoid((x @ first.weight.T + first.bias).relu() @ last.weight.T + last.bias)
    return layer_norm(branch(g * x, module.foreground) + branch((1 - g) * x, module.background), module.norm)


def probabilities(head: Head, tokens: list[Tensor], prototypes: Tensor, projection: Tensor) -> Tensor:
    """K layers (N,C) of one image -> abnormal probability of every token (N,)."""
    attended, layers = [], []
    previous = None
    modules = head.config.modules
    for k, layer in enumerate(tokens):
        p = foreground(layer, previous)
        views = {"identity": layer, "semantic": semantic(layer, p), "spatial": spatial(layer, p)}
        for name in head.config.views if modules.mvfbe else ["identity"]:
            attended.append(attention(views[name], head.attention) if modules.mvfbe else layer)
            layers.append(k)
        previous = layer
    bank = torch.cat([a[: len(a) // 2] for a in attended])
    b = 0.5 * bank.mean(0) + 0.5 * bank.max(0).values
    weights = torch.softmax(head.scale_weights, 0)
    logits = torch.zeros(len(tokens[0]), 2, dtype=b.dtype)
    for k, f in zip(layers, attended, strict=True):
        cos = torch.stack([cosine(row, b) for row in f])[:, None]
        subtracted = 0.5 * f + 0.5 * (f - b) * (1 - cos) if modules.background_subtraction else f
        features = subtracted @ projection
        features = features / features.norm(dim=1, keepdim=True)
        logits += weights[k] * features @ prototypes.T / 0.07
    return torch.softmax(logits, dim=1)[:, 1]
