"""Rows of one batch -> margins and distances: all share the backbone; adapters and memories apply to groups of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from fbclip.batches.job import Job, Row
from fbclip.engines.engine import Engine, Judgement, Seen
from fbclip.memory.index import MemoryIndex, image_distance
from fbclip.method.config import ScoreConfig
from fbclip.method.maps import smooth_map

K = TypeVar("K")


class TileOutput(NamedTuple):
    """Of one tile, on the CPU: a number () and a smoothed map (S,S), both float32; margins or distances."""

    number: Tensor
    map: Tensor


class RowOutput(NamedTuple):
    """Of one tile: margins, foreground masks (K·L,), and distances where a memory was asked."""

    margins: TileOutput
    foreground: Tensor
    distances: TileOutput | None


@torch.inference_mode()
def judge_rows(
    engine: Engine, memories: Mapping[str, MemoryIndex], layers: Sequence[int], rows: Sequence[Row]
) -> list[RowOutput]:
    """In order; distances where the row's job names one of `memories`, by id. `layers`: all that anybody here reads.

    Raises InferenceError; DeviceMemoryError where fewer rows may succeed.
    """
    with engine.faults():
        images = engine.put([tile for _, tile in rows])
        seen = engine.see(images, layers)
        judged = [
            (group, _judged(engine, key, group, images, seen))
            for key, group in _groups(rows, lambda job: (job.adapter, job.sigma))
        ]
        measured = [
            (group, _measured(engine, memories[memory], adapter, sigma, group, seen))
            for (memory, adapter, sigma), group in _groups(rows, lambda job: (job.memory, job.adapter, job.sigma))
            if memory is not None
        ]
        # All that was computed comes back in one go: each wait would stop the device.
        tensors = [value for _, one in judged for value in (one.margin.float(), one.map, one.foreground)]
        tensors += [value for _, pair in measured for value in pair]
        there = iter(engine.fetch(tensors))
    margins: dict[int, tuple[TileOutput, Tensor]] = {}
    for group, _ in judged:
        for index, margin, margin_map, mask in zip(group, next(there), next(there), next(there), strict=True):
            margins[index] = (TileOutput(margin, margin_map), mask)
    distances: dict[int, TileOutput] = {}
    for group, _ in measured:
        distances |= dict(zip(group, map(TileOutput, next(there), next(there)), strict=True))
    return [RowOutput(*margins[index], distances.get(index)) for index in range(len(rows))]


def _judged(engine: Engine, key: tuple[str, float], group: Sequence[int], images: Tensor, seen: Seen) -> Judgement:
    adapter, sigma = key
    method = engine.methods.get(adapter)
    if method is None:
        return engine.judge_images(adapter, images[list(group)], sigma)
    return engine.judge(adapter, _of_rows(seen.layers, method.layers, group), sigma)


def _measured(
    engine: Engine, index: MemoryIndex, adapter: str, sigma: float, group: Sequence[int], seen: Seen
) -> tuple[Tensor, Tensor]:
    """Distances of the images (B,), and their maps (B,S,S), smoothed as the adapter's margins are."""
    source = seen.layers if index.config.features == "backbone" else seen.strides
    grid = index.distances(_of_rows(source, index.config.layers, group))
    method = engine.methods.get(adapter)
    truncate = (ScoreConfig() if method is None else method.score).smoothing_truncate
    return image_distance(grid.flatten(1), index.config.farthest).float(), smooth_map(
        grid, engine.size, sigma, truncate
    )


def _groups(rows: Sequence[Row], key: Callable[[Job], K]) -> list[tuple[K, list[int]]]:
    """Rows that are computed together: (key, their indices)."""
    groups: dict[K, list[int]] = {}
    for index, (job, _) in enumerate(rows):
        groups.setdefault(key(job), []).append(index)
    return list(groups.items())


def _of_rows(tokens: Mapping[int, Tensor], layers: Sequence[int], group: Sequence[int]) -> dict[int, Tensor]:
    """Layers (B,N,C) of the rows in `group`, not copied where that is all of them."""
    whole = {layer: tokens[layer] for layer in layers}
    return {k: v if len(group) == len(v) else v[list(group)] for k, v in whole.items()}
