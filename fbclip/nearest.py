"""How far a token lies from the nearest one of a memory: blocked matrix products and a running maximum.

All rows have length 1, so the Euclidean distance is sqrt(2 − 2·cos) and the nearest token has the largest cosine.
Letters: B images, L patches, F numbers a token, M tokens of the memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from fbclip.memory import Memory, memory_features

IMAGE_SHARE = 100
"""An image's distance is the mean of the largest L // IMAGE_SHARE of its tokens, at least one."""


def nearest_distance(
    features: Tensor, memory: Tensor, places: Tensor | None = None, reach: int | None = None, block: int = 2048
) -> Tensor:
    """features (B,L,F) and memory (M,F), float32 on one device, rows of length 1 -> distances (B,L) in 0..2.

    With `reach`, only tokens whose `places` (M,2; row, column) lie at most so many rows and so many columns away; where
    that leaves none, the distance is 2, the longest there is. Never holds more than B·L times `block` products.
    A non-finite token has the distance NaN. Raises ValueError for a reach without places.
    """
    if reach is None:
        cosine = _largest_cosine(features.flatten(0, 1), memory, block).view(features.shape[:2])
    elif places is None:
        raise ValueError("reach needs the places of the memory's tokens")
    else:
        cosine = _within_reach(features, memory, places.to(memory.device, torch.int64), reach, block)
    return (2 - 2 * cosine).clamp_min(0).sqrt()


def _largest_cosine(rows: Tensor, memory: Tensor, block: int) -> Tensor:
    """rows (R,F), memory (M,F) -> (R,); amax and maximum hand NaN on, which a comparison would lose."""
    best = rows.new_full((len(rows),), -1.0)
    for part in torch.split(memory, block):
        best = torch.maximum(best, (rows @ part.T).amax(dim=1))
    return best


def _within_reach(features: Tensor, memory: Tensor, places: Tensor, reach: int, block: int) -> Tensor:
    """(B,L): one row of the grid at a time against the tokens of near rows, those of far columns left out."""
    batch, count, width = features.shape
    side = math.isqrt(count)
    columns = torch.arange(side, device=memory.device)
    grid = features.view(batch, side, side, width)
    found = []
    for row in range(side):
        near = ((places[:, 0] - row).abs() <= reach).nonzero()[:, 0]
        best = features.new_full((batch, side), -1.0)
        for start in range(0, len(near), block):
            chosen = near[start : start + block]
            cosine = grid[:, row] @ memory[chosen].T
            far = (columns[:, None] - places[chosen, 1]).abs() > reach
            best = torch.maximum(best, cosine.masked_fill(far, -1.0).amax(dim=2))
        found.append(best)
    return torch.cat(found, dim=1)


def uncovered(places: Tensor, side: int, reach: int) -> int:
    """How many of the side·side places have none of the memory's `places` (M,2) within `reach`."""
    rows = (torch.arange(side)[:, None] - places[:, 0].cpu().long()).abs() <= reach
    columns = (torch.arange(side)[:, None] - places[:, 1].cpu().long()).abs() <= reach
    return int(((rows.float() @ columns.float().T) == 0).sum())


def image_distance(distances: Tensor) -> Tensor:
    """Distances of tokens (B,L) -> (B,): the mean of the largest of each image."""
    count = max(1, distances.shape[1] // IMAGE_SHARE)
    return distances.topk(count, dim=1).values.mean(dim=1)


class Lookup:
    """A memory on a device, ready to be asked: (M,F) float32, twice the bytes of the file, no conversion a picture."""

    def __init__(self, memory: Memory, device: torch.device) -> None:
        self.config = memory.manifest.config
        # float16 left rows a little off length 1, which sqrt(2 − 2·cos) would read as a distance.
        self._tokens = F.normalize(memory.tokens.float(), dim=1).to(device)
        self._places = memory.places.to(device)

    def distances(self, tokens: Mapping[int, Tensor]) -> Tensor:
        """Block -> raw tokens (B,N,C), at least of `config.layers` -> distance of every patch (B,h,h) float32."""
        features = memory_features([tokens[layer] for layer in self.config.layers], self.config)
        found = nearest_distance(features, self._tokens, self._places, self.config.reach)
        side = math.isqrt(found.shape[1])
        return found.view(-1, side, side)
