"""As many rows at once as the device's memory holds: a batch that does not fit is halved, which is remembered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from fbclip.errors import DeviceMemoryError

log = logging.getLogger(__name__)
R = TypeVar("R")
Out = TypeVar("Out")


class BatchLimit:
    """How many rows fit, as far as has been found out; of one device, whichever detectors use it.

    It never rises again: whatever took the memory may come back, and each attempt costs a batch that fails.
    """

    def __init__(self) -> None:
        self.rows: int | None = None

    def note(self) -> str | None:
        """For health: what was found out, in a line."""
        if self.rows is None:
            return None
        return f"the device's memory held no more than {self.rows} images at once, so batches were halved"


def in_fitting_batches(
    rows: Sequence[R],
    most: int,
    limit: BatchLimit,
    compute: Callable[[Sequence[R]], list[Out]],
    free: Callable[[], None],
) -> list[Out]:
    """`compute` of all rows in order, at most `most` at once; none is lost and none computed twice.

    Raises DeviceMemoryError where a single row does not fit, and whatever else `compute` raises.
    """
    outputs: list[Out] = []
    while len(outputs) < len(rows):
        step = most if limit.rows is None else min(most, limit.rows)
        part = rows[len(outputs) : len(outputs) + step]
        if not _fits(part, outputs, compute):
            free()
            limit.rows = len(part) // 2
            log.warning("%d images at once do not fit the device's memory; from now on %d", len(part), limit.rows)
    return outputs


def _fits(part: Sequence[R], outputs: list[Out], compute: Callable[[Sequence[R]], list[Out]]) -> bool:
    try:
        outputs += compute(part)
    except DeviceMemoryError:
        if len(part) == 1:
            raise
        # Once this returns nothing holds the failed batch's tensors any more, not even the error's traceback.
        return False
    return True
