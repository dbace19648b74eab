"""How far a token lies from the nearest one of a memory: blocked matrix products and a running maximum.

|f − m|² = |f|² + (|m|² − 2 f·m), and only the part in brackets depends on the token of the memory.
Letters: B images, L patches, F numbers a token, M tokens of the memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from fbclip.memory.bank import Memory
from fbclip.memory.features import memory_features


def nearest_distance(
    features: Tensor, memory: Tensor, positions: Tensor | None = None, reach: int | None = None, block: int = 2048
) -> Tensor:
    """features (B,L,F) and memory (M,F), float32 on one device -> Euclidean distances (B,L); rows of length 1: 0..2.

    With `reach`, only tokens whose `positions` (M,2; row, column) lie at most so many rows and columns away; where
    that leaves none, the distance is infinite. Never holds more than B·L times `block` products.
    A non-finite token has the distance NaN. Raises ValueError for a reach without positions.
    """
    lengths = memory.square().sum(1)
    if reach is None:
        least = _least(features.flatten(0, 1), memory, lengths, block).view(features.shape[:2])
    elif positions is None:
        raise ValueError("reach needs the positions of the memory's tokens")
    else:
        least = _within_reach(features, memory, lengths, positions.to(memory.device, torch.int64), reach, block)
    return (features.square().sum(-1) + least).clamp_min(0).sqrt()


def _least(rows: Tensor, memory: Tensor, lengths: Tensor, block: int) -> Tensor:
    """rows (R,F), memory (M,F), its squared lengths (M,) -> least of |m|² − 2 f·m, (R,).

    amin and minimum hand NaN on, which a comparison would lose. On a CPU so few rows at a time that their products stay
    in its cache: half the time, since nothing but the least of them is ever written to memory.
    """
    together = max(1, len(rows)) if rows.device.type != "cpu" else _ROWS_IN_CACHE
    block = block if rows.device.type != "cpu" else min(block, _TOKENS_IN_CACHE)
    found = []
    for some in torch.split(rows, together):
        best = some.new_full((len(some),), torch.inf)
        for part, own in zip(torch.split(memory, block), torch.split(lengths, block), strict=True):
            best = torch.minimum(best, torch.addmm(own, some, part.T, alpha=-2).amin(dim=1))
        found.append(best)
    return torch.cat(found)


_ROWS_IN_CACHE, _TOKENS_IN_CACHE = 512, 512
"""A megabyte of products."""


def _within_reach(
    features: Tensor, memory: Tensor, lengths: Tensor, positions: Tensor, reach: int, block: int
) -> Tensor:
    """(B,L): one row of the grid at a time against the tokens of near rows, those of far columns left out."""
    batch, count, width = features.shape
    side = math.isqrt(count)
    columns = torch.arange(side, device=memory.device)
    grid = features.view(batch, side, side, width)
    found = []
    for row in range(side):
        near = ((positions[:, 0] - row).abs() <= reach).nonzero()[:, 0]
        best = features.new_full((batch, side), torch.inf)
        for start in range(0, len(near), block):
            chosen = near[start : start + block]
            part = lengths[chosen] - 2 * (grid[:, row] @ memory[chosen].T)
            far = (columns[:, None] - positions[chosen, 1]).abs() > reach
            best = torch.minimum(best, part.masked_fill(far, torch.inf).amin(dim=2))
        found.append(best)
    return torch.cat(found, dim=1)


def uncovered(positions: Tensor, side: int, reach: int) -> int:
    """How many of the side·side patches have none of the memory's `positions` (M,2) within `reach`."""
    rows = (torch.arange(side)[:, None] - positions[:, 0].cpu().long()).abs() <= reach
    columns = (torch.arange(side)[:, None] - positions[:, 1].cpu().long()).abs() <= reach
    return int(((rows.float() @ columns.float().T) == 0).sum())


def image_distance(distances: Tensor, farthest: int) -> Tensor:
    """Distances of tokens (B,L) -> (B,): the mean of the largest L // farthest of each image, at least of one."""
    count = max(1, distances.shape[1] // farthest)
    return distances.topk(count, dim=1).values.mean(dim=1)


class MemoryIndex:
    """A memory on a device, (M,F) float32: twice the bytes of the file, but no conversion an image."""

    def __init__(self, memory: Memory, device: torch.device) -> None:
        self.config = memory.manifest.config
        tokens = memory.tokens.float()
        if self.config.metric == "cosine":
            # float16 left rows a little off length 1, which would be read as a distance.
            tokens = F.normalize(tokens, dim=1)
        self._whitening = None if memory.whitening is None else memory.whitening.to(device)
        self._tokens = tokens.to(device)
        self._positions = memory.positions.to(device)

    def distances(self, tokens: Mapping[int, Tensor]) -> Tensor:
        """Layer -> raw tokens, at least of `config.layers` -> distance of every patch (B,h,h) float32."""
        features = memory_features(tokens, self.config)
        if self._whitening is not None:
            features = self._whitening(features)
        widths = [features.shape[-1]]
        if self.config.nearest == "each":
            widths = [tokens[layer].shape[-1] for layer in self.config.layers for _ in self.config.neighbourhood]
        parts = zip(torch.split(features, widths, dim=-1), torch.split(self._tokens, widths, dim=-1), strict=True)
        reach, positions = self.config.reach, self._positions
        squared = [nearest_distance(own, known, positions, reach).square() for own, known in parts]
        found = torch.stack(squared).sum(dim=0).sqrt()
        side = math.isqrt(found.shape[1])
        return found.view(-1, side, side)
