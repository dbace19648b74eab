"""Work that is done again and again on batches of few sizes, captured once a size: hundreds of launches become one.

How many captures there can be is bounded, and so is what they cost: a size is captured when it comes the second time,
and a batch so large that launches do not matter is never captured.
"""

from __future__ import annotations

from collections import Counter

from torch import Tensor

from fbclip.engines.accelerator import Accelerator, Run

MOST_SIZES = 8
MOST_ROWS = 16


class CapturedCalls:
    """`run` of tensors whose first side is the batch; every other side is the same in every call."""

    def __init__(self, run: Run, accelerator: Accelerator) -> None:
        self._run, self._accelerator = run, accelerator
        self._seen: Counter[int] = Counter()
        self._ready: dict[int, Run | None] = {}

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        """What `run` gives; the results are the caller's own."""
        rows = len(given[0])
        if rows not in self._ready and self._worth(rows):
            self._ready[rows] = self._accelerator.capture(self._run, given)
        return (self._ready.get(rows) or self._run)(*given)

    def _worth(self, rows: int) -> bool:
        self._seen[rows] += 1
        return self._seen[rows] == 2 and rows <= MOST_ROWS and len(self._ready) < MOST_SIZES

    def forget(self) -> None:
        """Let go of every capture, and of its memory; sizes are captured anew when they come again."""
        self._ready.clear()
        self._seen.clear()
