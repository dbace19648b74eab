"""Images side by side, each on one core: what comes out does not depend on how many cores there are.

A product that is split over cores adds up in another order, and Adam turns the rounding of a gradient near zero into a
whole step. So that one process with many cores and many processes with one learn the same, cores share images instead.
On a GPU images come one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class SideBySide:
    """As many threads as torch would take, each of which computes on one core. Close it in the end."""

    def __init__(self, device: torch.device) -> None:
        # Asked first: it settles how many this thread itself takes from then on.
        cores = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(cores, initializer=_on_one_core) if device.type == "cpu" else None

    def each(self, compute: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Of every item, in order."""
        if self._pool is None:
            return [compute(item) for item in items]
        return list(self._pool.map(compute, items))

    def one(self, compute: Callable[[], R]) -> R:
        """The same of what is not about an image."""
        return compute() if self._pool is None else self._pool.submit(compute).result()

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()


def _on_one_core() -> None:
    torch.set_num_threads(1)
