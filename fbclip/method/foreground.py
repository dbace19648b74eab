"""Soft foreground mask of one layer from four clues. Section 3 of the method (paper 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fbclip.method.config import ForegroundConfig

_NORM_FLOOR = 1e-8


def _unit_range(values: Tensor, floor: float) -> Tensor:
    """Min-max over the patches of each image: (B,L) -> (B,L) in 0..1."""
    low = values.amin(dim=1, keepdim=True)
    span = values.amax(dim=1, keepdim=True) - low
    return (values - low) / span.clamp_min(floor)


def patch_cls_cosine(tokens: Tensor) -> Tensor:
    """Cosine of every patch with CLS: (B,N,C) -> (B,L); 0 for a zero vector."""
    cls = F.normalize(tokens[:, 0], dim=-1, eps=_NORM_FLOOR)
    patches = tokens[:, 1:]
    # A dot product and a norm: torch's cosine_similarity would copy all tokens twice.
    dot = (patches @ cls.unsqueeze(-1)).squeeze(-1)
    return torch.div(dot, torch.linalg.vector_norm(patches, dim=-1).clamp_min(_NORM_FLOOR))


def foreground_mask(tokens: Tensor, previous: Tensor | None, config: ForegroundConfig) -> Tensor:
    """Raw tokens (B,N,C), and those of the previous selected layer -> mask (B,L) of 1 or `background_value`.

    For patches t_i: how far t_i lies from the mean of its neighbours, from the mean of all, from CLS (1 − cos) and from
    itself a layer before; each scaled to 0..1 over the image, weighted, added, smoothed, compared with `threshold`.
    A hard step, so it is always computed in float32: in lower precision tokens near 0.5 flip.
    """
    patches = tokens[:, 1:].float()
    kernel = config.local_kernel
    # The local mean runs along the flattened order and counts its zero padding, as the released code does.
    local_mean = F.avg_pool1d(patches.transpose(1, 2), kernel, stride=1, padding=kernel // 2).transpose(1, 2)
    local = torch.linalg.vector_norm(patches - local_mean, dim=-1)
    center = torch.linalg.vector_norm(patches - patches.mean(dim=1, keepdim=True), dim=-1)
    from_cls = 1 - patch_cls_cosine(tokens.float())
    clues = (
        config.weight_local * _unit_range(local, config.range_floor)
        + config.weight_center * _unit_range(center, config.range_floor)
        + config.weight_cls * _unit_range(from_cls, config.range_floor)
    )
    if previous is not None:
        moved = torch.linalg.vector_norm(patches - previous[:, 1:].float(), dim=-1)
        clues = clues + config.weight_layer * _unit_range(moved, config.range_floor)
    half = config.smooth_kernel // 2
    padded = F.pad(clues.unsqueeze(1), (half, half), mode="reflect")
    smooth = F.avg_pool1d(padded, config.smooth_kernel, stride=1).squeeze(1)
    return torch.where(smooth > config.threshold, 1.0, config.background_value)
