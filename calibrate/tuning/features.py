"""Items -> what a training step takes: features of the frozen model, computed once an image, labels and masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calibrate.defects.on_images import Item
from calibrate.processes import ALONE, ProcessGroup
from calibrate.tuning.images import ImageLoader, LoadedImage
from calibrate.tuning.learner import Learner
from calibrate.tuning.token_cache import Kept, SharedTokens
from calibrate.tuning.training import StepBatch


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


class Features:
    """Features and masks of `items`, of this process's share of each batch; without a cache they are computed anew."""

    def __init__(
        self,
        items: Sequence[Item],
        loader: ImageLoader,
        learner: Learner,
        cache: Kept | None,
        processes: ProcessGroup = ALONE,
    ) -> None:
        self.items = items
        self._loader = loader
        self._learner = learner
        self._cache = cache
        self._processes = processes
        # A bit a pixel: the masks of 2,000 images are 70 MB at 518 px.
        self._masks: dict[int, NDArray[np.uint8]] = {}

    def prepare(self, report: Callable[[int, int], None] = lambda *_: None) -> None:
        """What several processes keep together is computed here, once; one alone computes when it first needs it."""
        cache = self._cache
        if not isinstance(cache, SharedTokens):
            return
        own = self._processes.share(cache.count)

        def compute(index: int) -> Tensor:
            report(index - own.start, len(own))
            return self._run(index)

        cache.fill(compute, self._learner.side_by_side)
        # A byte more says whether the mask is known.
        packed = np.zeros((len(own), 1 + len(np.packbits(np.zeros(self._loader.size**2, bool)))), np.uint8)
        for row, index in zip(packed, own, strict=True):
            if index in self._masks:
                row[0], row[1:] = 1, self._masks[index]
        for index, row in enumerate(self._processes.gather(torch.from_numpy(packed), cache.count).numpy()):
            if row[0]:
                self._masks[index] = row[1:]

    def fetch(self, batch: BatchIndices, turn: np.random.Generator | None = None) -> StepBatch:
        """Features, labels and masks of some items; `turn` turns and mirrors the images at random.

        Raises DataError when a file is gone or is no longer an image.
        """
        # Drawn for all, so that every process turns each image as one alone would.
        turns = [None if turn is None else Turn.drawn(turn) for _ in batch.indices]

        def at(place: int) -> tuple[Tensor, Tensor | None]:
            index, own = batch.indices[place], turns[place]
            return self._one(index) if own is None else self._turned(index, own)

        found = self._learner.side_by_side.each(at, self._processes.share(len(batch.indices)))
        rows, masks = [row for row, _ in found], [mask for _, mask in found]
        labels = torch.tensor([float(self.items[i].anomalous) for i in batch.indices])
        side = self._loader.size
        known = [m.float() for m in masks if m is not None]
        together = torch.stack(known) if known else torch.zeros(0, side, side)
        return StepBatch(labels, rows, together if batch.pixel else None)

    def _one(self, index: int) -> tuple[Tensor, Tensor | None]:
        features = self._run(index) if self._cache is None else self._cache.get(index, lambda: self._run(index))
        size = self._loader.size
        if index not in self._masks:
            return features, None
        bits = np.unpackbits(self._masks[index], count=size * size).astype(bool)
        return features, torch.from_numpy(bits.reshape(size, size))

    def _run(self, index: int) -> Tensor:
        loaded = self._loader.load(self.items[index])
        if loaded.mask is not None:
            self._masks[index] = np.packbits(loaded.mask.numpy())
        return self._features(loaded.image)

    def _turned(self, index: int, turn: Turn) -> tuple[Tensor, Tensor | None]:
        loaded = turned(self._loader.load(self.items[index]), turn)
        return self._features(loaded.image), loaded.mask

    def _features(self, image: Tensor) -> Tensor:
        """(3,S,S) -> (K,N,C). One image at a time: its numbers then do not depend on those beside it."""
        with torch.no_grad():
            return self._learner.features(image[None].to(self._learner.device))[0].cpu()


@dataclass(frozen=True)
class Turn:
    """Quarter turns, and whether mirrored then."""

    quarters: int
    mirrored: bool

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Turn:
        """One of the eight."""
        return cls(int(rng.integers(0, 4)), bool(rng.random() < 0.5))


def turned(loaded: LoadedImage, turn: Turn) -> LoadedImage:
    """The square input and its mask, turned and mirrored."""

    def move(values: Tensor) -> Tensor:
        values = torch.rot90(values, turn.quarters, dims=(-2, -1))
        return (values.flip(-1) if turn.mirrored else values).contiguous()

    return LoadedImage(move(loaded.image), loaded.label, None if loaded.mask is None else move(loaded.mask))
