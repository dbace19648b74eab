"""Where features of images are kept: in memory, beyond that in a file, beyond that nowhere.

Views of FB-CLIP's tokens are not kept: they take twice the room (a spatial view is as large as its tokens, and they are
needed beside it) and little time. Tokens stay float32: the foreground mask is a hard step, and rounding would move
patches across it.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calibrate.processes import ProcessGroup
from calibrate.tuning.side_by_side import SideBySide

DISK_RESERVE = 1 << 30
"""Bytes of the disk that are left free."""
Shape = tuple[int, int, int]


class Kept(Protocol):
    """What is kept of the features of numbered images."""

    def get(self, index: int, compute: Callable[[], Tensor]) -> Tensor:
        """(K,N,C) on the CPU."""

    def close(self) -> None:
        """Give the room back."""


def row_bytes(shape: Shape) -> int:
    """What the features of one image take."""
    return 4 * math.prod(shape)


class TokenCache:
    """Room for `count` tokens of one shape (K,N,C) float32: `limit` bytes of memory, then a file in `folder`."""

    def __init__(self, count: int, shape: tuple[int, int, int], limit: int, folder: Path) -> None:
        """Raises OSError when the folder cannot be written."""
        size = row_bytes(shape)
        self.in_memory = min(count, limit // size)
        self._memory: NDArray[np.float32] = np.empty((self.in_memory, *shape), np.float32)
        self.on_disk = 0
        self._file: IO[bytes] | None = None
        self._disk: NDArray[np.float32] = np.empty((0, *shape), np.float32)
        rest = count - self.in_memory
        if rest:
            folder.mkdir(parents=True, exist_ok=True)
            self.on_disk = min(rest, _room(folder) // size)
        if self.on_disk:
            # Without a name it goes with the process, however that ends.
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
            # Reserved at once: a full disk is an error here, and not a crash in the middle of a write.
            os.posix_fallocate(self._file.fileno(), 0, self.on_disk * size)
            self._disk = np.memmap(self._file, np.float32, "r+", shape=(self.on_disk, *shape))
        self._known = np.zeros(self.in_memory + self.on_disk, bool)

    def get(self, index: int, compute: Callable[[], Tensor]) -> Tensor:
        """Tokens (K,N,C) of image `index` on the CPU, computed at most once where there is room."""
        if index >= len(self._known):
            return compute()
        rows, row = (self._memory, index) if index < self.in_memory else (self._disk, index - self.in_memory)
        if not self._known[index]:
            rows[row] = compute().numpy()
            self._known[index] = True
        return _copy(rows[row])

    def close(self) -> None:
        """Give the file's room back."""
        self._disk = self._disk[:0].copy()
        if self._file is not None:
            self._file.close()


class SharedTokens:
    """The same for several processes on one machine: one file, each row of it written by one process and read by all.

    `fill` first: whatever is read was written whole before.
    """

    def __init__(self, count: int, shape: Shape, path: Path, processes: ProcessGroup) -> None:
        """Every process makes its own at the same time. Raises OSError where the file cannot be written."""
        self._processes, size = processes, row_bytes(shape)
        room = torch.zeros(1, dtype=torch.int64)
        if processes.first:
            path.parent.mkdir(parents=True, exist_ok=True)
            room += min(count, _room(path.parent) // size)
        self.count = int(processes.sum(room))
        if not self.count:
            self._rows: NDArray[np.float32] = np.empty((0, *shape), np.float32)
            return
        if processes.first:
            with path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self.count * size)
        processes.wait()
        self._rows = np.memmap(path, np.float32, "r+", shape=(self.count, *shape))
        processes.wait()
        if processes.first:
            # Without a name it goes with the processes, however they end.
            path.unlink()

    def fill(self, compute: Callable[[int], Tensor], side_by_side: SideBySide) -> None:
        """Each process computes its share, and waits for the others."""

        def put(index: int) -> None:
            self._rows[index] = compute(index).numpy()

        side_by_side.each(put, self._processes.share(self.count))
        self._processes.wait()

    def get(self, index: int, compute: Callable[[], Tensor]) -> Tensor:
        """Features (K,N,C) of image `index` on the CPU; computed where there was no room for them."""
        return _copy(self._rows[index]) if index < self.count else compute()

    def close(self) -> None:
        """Give the file's room back."""
        self._rows = self._rows[:0].copy()


@dataclass(frozen=True, eq=False)
class Caches:
    """Of the images that stop the training, and of those that train."""

    validation: Kept
    train: Kept

    def close(self) -> None:
        """Give their room back."""
        self.validation.close()
        self.train.close()


def caches(shape: Shape, validation: int, train: int, limit: int, work: Path, processes: ProcessGroup) -> Caches:
    """Room for so many images: of `limit` bytes and a file beyond, or of several processes in files that they share."""
    if processes.count > 1:
        stop, tune = (work / f"{name}.features" for name in ("stop", "tune"))
        return Caches(SharedTokens(validation, shape, stop, processes), SharedTokens(train, shape, tune, processes))
    # One budget for both: the few validation images are read as often as those that train, so they come first.
    first = min(limit, validation * row_bytes(shape))
    return Caches(TokenCache(validation, shape, first, work), TokenCache(train, shape, limit - first, work))


def _copy(row: NDArray[np.float32]) -> Tensor:
    """By torch, whose memory begins where products are fastest and always the same."""
    return torch.from_numpy(np.asarray(row)).clone()


def _room(folder: Path) -> int:
    return max(0, shutil.disk_usage(folder).free - DISK_RESERVE)
