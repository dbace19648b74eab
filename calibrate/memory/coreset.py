"""A few tokens that stand for many: greedy k-centre, the coreset of PatchCore (Roth et al., CVPR 2022, section 3.2).

Distances are measured in a seeded random projection (Johnson and Lindenstrauss), as the paper does, and exactly there:
the choice is the plain greedy one, which covers within twice the best possible radius (T. Gonzalez, Theoretical
Computer Science 38, 1985). It is made in blocks, so that the work is matrix products and not passes over memory.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PROJECTED = 64
"""Numbers a token is compared by; tokens of no more than these are compared as they are."""
_BLOCK = 1024
_ROWS = 16_384


def coreset(tokens: Tensor, count: int, seed: int, advance: Callable[[int], None] = lambda _: None) -> Tensor:
    """Tokens (M,F) of any float type -> int64 rows (K,) in the order chosen, K <= `count`.

    Fewer where the rest are copies of chosen ones. Time O(K·M), memory O(M). `advance` gets the number of new rows.
    Raises ValueError for no tokens or a count below 1.
    """
    if tokens.ndim != 2 or not len(tokens) or count < 1:
        raise ValueError(f"a coreset of {count} of tokens {tuple(tokens.shape)} cannot be made")
    points = _project(tokens, seed)
    norms = points.square().sum(1)
    # Beyond this two float32 points cannot be told apart.
    smallest = 1e-6 * max(float(norms.max()), 1e-12)
    generator = torch.Generator().manual_seed(seed)
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    nearest = _squared(points, norms, points[chosen], norms[chosen]).amin(1)
    nearest[chosen] = 0
    while len(chosen) < count and float(nearest.max()) > smallest:
        new = _block(points, norms, nearest, count - len(chosen), smallest)
        for start in range(0, len(points), _ROWS):
            rows = slice(start, start + _ROWS)
            closer = _squared(points[rows], norms[rows], points[new], norms[new]).amin(1)
            nearest[rows] = torch.minimum(nearest[rows], closer)
        nearest[new] = 0
        chosen += new
        advance(len(new))
    return torch.tensor(chosen)


def _block(points: Tensor, norms: Tensor, nearest: Tensor, count: int, smallest: float) -> list[int]:
    """The next rows that the plain greedy choice takes, at most `count`, at least one.

    A distance to the chosen rows only falls. So as long as the farthest of the _BLOCK farthest rows stays above what
    every other row had before, it is the farthest of all, and the others need not be looked at.
    """
    size = min(_BLOCK, len(points))
    found = torch.topk(nearest, min(size + 1, len(points)))
    rest = float(found.values[size]) if len(found.values) > size else 0.0
    rows = found.indices[:size]
    near, own, own_norms = nearest[rows].clone(), points[rows], norms[rows]
    chosen: list[int] = []
    while len(chosen) < count:
        farthest = int(near.argmax())
        if chosen and (near[farthest] <= rest or near[farthest] <= smallest):
            break
        chosen.append(int(rows[farthest]))
        closer = _squared(own, own_norms, own[farthest : farthest + 1], own_norms[farthest : farthest + 1])[:, 0]
        near = torch.minimum(near, closer)
        near[farthest] = 0
    return chosen


def _project(tokens: Tensor, seed: int) -> Tensor:
    """float32 (M,PROJECTED), or the tokens themselves; block by block, since float16 tokens may fill the memory."""
    width = tokens.shape[1]
    if width <= PROJECTED:
        return tokens.float()
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(width, PROJECTED, generator=generator) / PROJECTED**0.5
    return torch.cat([tokens[start : start + _ROWS].float() @ matrix for start in range(0, len(tokens), _ROWS)])


def _squared(a: Tensor, a_norms: Tensor, b: Tensor, b_norms: Tensor) -> Tensor:
    """Squared distances (A,B) of rows (A,D) and (B,D) with their squared norms."""
    return (a_norms[:, None] + b_norms[None, :] - 2 * (a @ b.T)).clamp_min(0)
