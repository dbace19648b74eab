"""Items -> what a training step takes: tokens of the frozen backbone, computed once an image, labels and masks.

Tokens are kept in memory, beyond that in a file, beyond that computed anew each time; and not the views made of them,
which take twice the room (a spatial view is as large as its tokens, and they are needed beside it) and little time.
They stay float32: the foreground mask is a hard step, and rounding would move patches across it.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calibrate.defects.on_images import Item
from calibrate.tuning.images import ImageLoader, LoadedImage
from calibrate.tuning.training import TokenBatch
from fbclip.backbone.tower import Backbone

DISK_RESERVE = 1 << 30
"""Bytes of the disk that are left free."""


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
    """Tokens and masks of `items`; without a cache the backbone runs each time."""

    def __init__(
        self,
        items: Sequence[Item],
        loader: ImageLoader,
        backbone: Backbone,
        layers: tuple[int, ...],
        cache: TokenCache | None,
    ) -> None:
        self.items = items
        self._loader = loader
        self._backbone = backbone
        self._layers = layers
        self._cache = cache
        # A bit a pixel: the masks of 2,000 images are 70 MB at 518 px.
        self._masks: dict[int, NDArray[np.uint8]] = {}

    def fetch(self, batch: BatchIndices, turn: np.random.Generator | None = None) -> TokenBatch:
        """Tokens, labels and masks of some items; `turn` turns and mirrors the images at random.

        Raises DataError when a file is gone or is no longer an image.
        """
        rows, masks = [], []
        for index in batch.indices:
            tokens, mask = self._one(index) if turn is None else self._turned(index, turn)
            rows.append(tokens)
            masks.append(mask)
        labels = torch.tensor([float(self.items[i].anomalous) for i in batch.indices])
        known = torch.stack([m.float() for m in masks if m is not None]) if batch.pixel else None
        return TokenBatch(list(torch.stack(rows, dim=1)), labels, known)

    def _one(self, index: int) -> tuple[Tensor, Tensor | None]:
        tokens = self._run(index) if self._cache is None else self._cache.get(index, lambda: self._run(index))
        size = self._loader.size
        if index not in self._masks:
            return tokens, None
        bits = np.unpackbits(self._masks[index], count=size * size).astype(bool)
        return tokens, torch.from_numpy(bits.reshape(size, size))

    def _run(self, index: int) -> Tensor:
        loaded = self._loader.load(self.items[index])
        if loaded.mask is not None:
            self._masks[index] = np.packbits(loaded.mask.numpy())
        return self._tokens(loaded.image)

    def _turned(self, index: int, rng: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        loaded = turned(self._loader.load(self.items[index]), rng)
        return self._tokens(loaded.image), loaded.mask

    def _tokens(self, image: Tensor) -> Tensor:
        """(3,S,S) -> (K,N,C). One image at a time: its numbers then do not depend on those beside it."""
        with torch.no_grad():
            layers = self._backbone(image[None].to(self._backbone.projection.device), self._layers)
        return torch.stack([layer[0] for layer in layers]).cpu()


def turned(loaded: LoadedImage, rng: np.random.Generator) -> LoadedImage:
    """One of the eight turns and mirror images of the square input and its mask."""
    turns, mirrored = int(rng.integers(0, 4)), bool(rng.random() < 0.5)

    def move(values: Tensor) -> Tensor:
        values = torch.rot90(values, turns, dims=(-2, -1))
        return (values.flip(-1) if mirrored else values).contiguous()

    return LoadedImage(move(loaded.image), loaded.label, None if loaded.mask is None else move(loaded.mask))


class TokenCache:
    """Room for `count` tokens of one shape (K,N,C) float32: `limit` bytes of memory, then a file in `folder`."""

    def __init__(self, count: int, shape: tuple[int, int, int], limit: int, folder: Path) -> None:
        """Raises OSError when the folder cannot be written."""
        row_bytes = self.row_bytes(shape)
        self.in_memory = min(count, limit // row_bytes)
        self._memory: NDArray[np.float32] = np.empty((self.in_memory, *shape), np.float32)
        self.on_disk = 0
        self._file: IO[bytes] | None = None
        self._disk: NDArray[np.float32] = np.empty((0, *shape), np.float32)
        rest = count - self.in_memory
        if rest:
            folder.mkdir(parents=True, exist_ok=True)
            room = max(0, shutil.disk_usage(folder).free - DISK_RESERVE)
            self.on_disk = min(rest, room // row_bytes)
        if self.on_disk:
            # Without a name it goes with the process, however that ends.
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
            # Reserved at once: a full disk is an error here, and not a crash in the middle of a write.
            os.posix_fallocate(self._file.fileno(), 0, self.on_disk * row_bytes)
            self._disk = np.memmap(self._file, np.float32, "r+", shape=(self.on_disk, *shape))
        self._known = np.zeros(self.in_memory + self.on_disk, bool)

    @staticmethod
    def row_bytes(shape: tuple[int, int, int]) -> int:
        """What the tokens of one image take."""
        return 4 * math.prod(shape)

    def get(self, index: int, compute: Callable[[], Tensor]) -> Tensor:
        """Tokens (K,N,C) of image `index` on the CPU, computed at most once where there is room."""
        if index >= len(self._known):
            return compute()
        rows, row = (self._memory, index) if index < self.in_memory else (self._disk, index - self.in_memory)
        if not self._known[index]:
            rows[row] = compute().numpy()
            self._known[index] = True
        return torch.from_numpy(np.array(rows[row]))

    def close(self) -> None:
        """Give the file's room back."""
        self._disk = self._disk[:0].copy()
        if self._file is not None:
            self._file.close()
