"""Backbone tokens, computed once an image: in memory, beyond that in a file, beyond that anew each time.

Tokens are kept and not the views made of them, which take twice the room (a spatial view is as large as its tokens,
and they are needed beside it) and little time. They stay float32: the foreground mask is a hard step, and rounding
would move patches across it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DISK_RESERVE = 1 << 30
"""Bytes of the disk that are left free."""


class TokenCache:
    """Room for `count` tokens of one shape (K,N,C) float32: `limit` bytes of memory, then a file in `folder`."""

    def __init__(self, count: int, shape: tuple[int, int, int], limit: int, folder: Path) -> None:
        """Raises OSError when the folder cannot be written."""
        self.row_bytes = 4 * int(np.prod(shape))
        self.in_memory = min(count, limit // self.row_bytes)
        self._memory: NDArray[np.float32] = np.empty((self.in_memory, *shape), np.float32)
        self.on_disk = 0
        self._file: IO[bytes] | None = None
        self._disk: NDArray[np.float32] = np.empty((0, *shape), np.float32)
        rest = count - self.in_memory
        if rest:
            folder.mkdir(parents=True, exist_ok=True)
            room = max(0, shutil.disk_usage(folder).free - DISK_RESERVE)
            self.on_disk = min(rest, room // self.row_bytes)
        if self.on_disk:
            # Without a name it goes with the process, however that ends.
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
            # Reserved at once: a full disk is an error here, and not a crash in the middle of a write.
            os.posix_fallocate(self._file.fileno(), 0, self.on_disk * self.row_bytes)
            self._disk = np.memmap(self._file, np.float32, "r+", shape=(self.on_disk, *shape))
        self._known = np.zeros(self.in_memory + self.on_disk, bool)

    def get(self, index: int, compute: Callable[[], Tensor]) -> Tensor:
        """Tokens (K,N,C) of image `index` on the CPU, computed at most once where there is room."""
        if index >= len(self._known):
            return compute()
        rows, place = (self._memory, index) if index < self.in_memory else (self._disk, index - self.in_memory)
        if not self._known[index]:
            rows[place] = compute().numpy()
            self._known[index] = True
        return torch.from_numpy(np.array(rows[place]))

    def close(self) -> None:
        """Give the file's room back."""
        self._disk = self._disk[:0].copy()
        if self._file is not None:
            self._file.close()
