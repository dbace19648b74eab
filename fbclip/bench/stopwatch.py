"""Wall-clock times by name, on a CPU or a GPU."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

T = TypeVar("T")


class Stopwatch:
    """Milliseconds by name, one entry a call."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.samples: dict[str, list[float]] = defaultdict(list)

    def timed(self, name: str, work: Callable[[], T]) -> T:
        self._wait()
        start = time.perf_counter()
        out = work()
        self._wait()
        self.samples[name].append((time.perf_counter() - start) * 1e3)
        return out

    def timed_steps(self, name: str, steps: Iterable[T]) -> Iterator[T]:
        """Hand on what `steps` yields, as lazily as it does; the sum of its times is one entry."""
        iterator, total = iter(steps), 0.0
        while True:
            self._wait()
            start = time.perf_counter()
            item = next(iterator, None)
            self._wait()
            total += time.perf_counter() - start
            if item is None:
                break
            yield item
        self.samples[name].append(total * 1e3)

    def median(self) -> dict[str, float]:
        return {name: round(statistics.median(values), 3) for name, values in self.samples.items()}

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
