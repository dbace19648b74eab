"""Which images are in which batch: a function of seed and epoch alone, so a run can be taken up anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.defects.painting import Item


@dataclass(frozen=True)
class BatchIndices:
    """Indices of a batch's items; `pixel`: are all their masks known, and any of a defect in the data?"""

    indices: tuple[int, ...]
    pixel: bool


def in_order(items: Sequence[Item], batch: int) -> list[BatchIndices]:
    """Every item once, those with known masks first; for measuring a loss."""
    pixel = _any_defect_masked(items)
    known = [i for i, item in enumerate(items) if pixel and item.masked]
    unknown = [i for i in range(len(items)) if i not in set(known)]
    return _cut(known, batch, True) + _cut(unknown, batch, False)


def shuffled(items: Sequence[Item], batch: int, seed: int, epoch: int) -> list[BatchIndices]:
    """Batches of one epoch in a random order.

    Painted defects alternate with normal images, which are repeated for it. Otherwise every item comes once, and
    where only some defects have masks, no batch mixes known with unknown ones; the normal images are shared out.
    """
    rng = np.random.default_rng((seed, epoch))
    normal = _mixed([i for i, item in enumerate(items) if not item.anomalous], rng)
    anomalous = _mixed([i for i, item in enumerate(items) if item.anomalous], rng)
    if any(item.defect is not None for item in items):
        pairs = [i for k, index in enumerate(anomalous) for i in (index, normal[k % len(normal)])]
        return _cut(pairs, batch, True)
    if not _any_defect_masked(items):
        return _cut(_mixed(normal + anomalous, rng), batch, False)
    unknown = [i for i in anomalous if not items[i].masked]
    share = round(len(normal) * len(unknown) / len(anomalous))
    first = _mixed(normal[:share] + unknown, rng)
    second = _mixed(normal[share:] + [i for i in anomalous if items[i].masked], rng)
    batches = _cut(first, batch, False) + _cut(second, batch, True)
    return [batches[i] for i in rng.permutation(len(batches))]


def _any_defect_masked(items: Sequence[Item]) -> bool:
    return any(item.anomalous and item.masked for item in items)


def _mixed(indices: list[int], rng: np.random.Generator) -> list[int]:
    return [indices[i] for i in rng.permutation(len(indices))]


def _cut(indices: Sequence[int], batch: int, pixel: bool) -> list[BatchIndices]:
    return [BatchIndices(tuple(indices[i : i + batch]), pixel) for i in range(0, len(indices), batch)]
