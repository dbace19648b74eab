"""Sorted runs of (value, region size) records, in an unnamed temporary file where memory is too small.

Runs are read back by value ranges from the highest down. A range is found by bisecting the 32 bits of a float32 until
it holds few enough records, so what is loaded at once is bounded however the values are spread.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from calibrate.errors import DataError
from calibrate.metrics.ranking import Array

POSITIVE_COST = 8
"""A positive and what is computed for it weigh as much in memory as this many negatives."""


class FileColumn:
    """A one-dimensional array of 4-byte numbers inside a file; an index or a slice reads just that."""

    def __init__(self, file: IO[bytes], offset: int, length: int, kind: str) -> None:
        self._file, self._offset, self._length, self._kind = file, offset, length, kind

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int | slice) -> Any:
        start, stop, _ = (index if isinstance(index, slice) else slice(index, index + 1)).indices(self._length)
        self._file.seek(self._offset + 4 * start)
        read = np.frombuffer(self._file.read(4 * max(0, stop - start)), self._kind)
        return read if isinstance(index, slice) else read[0]


Column = Array | FileColumn


class SortedRun(NamedTuple):
    """Records that were in memory together, each kind sorted by value, ascending."""

    negatives: Column
    """float32 (M,)"""
    positives: Column
    """float32 (P,)"""
    sizes: Column
    """int32 (P,): the sizes of the positives' regions"""


class Spill:
    """Runs in a temporary file that has no name, so that it is gone with the process, however that ends."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self.runs: list[SortedRun] = []

    def write(self, negatives: Array, positives: Array, sizes: Array) -> None:
        """Append the columns of a run; raises DataError where the folder cannot hold it."""
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 closed by close()
            offset = self._file.seek(0, 2)
            columns = []
            for column, kind in ((negatives, "<f4"), (positives, "<f4"), (sizes, "<i4")):
                self._file.write(column.astype(kind, copy=False).data)
                columns.append(FileColumn(self._file, offset, len(column), kind))
                offset += 4 * len(column)
            self._file.flush()
        except OSError as error:
            where = self._folder or tempfile.gettempdir()
            raise DataError(f"{where}: cannot hold the pixels of this data set: {error.strerror}") from error
        self.runs.append(SortedRun(*columns))

    def close(self) -> None:
        """Remove the file; harmless when repeated."""
        # Closing tries again to write what a full disk refused; that error has been reported already.
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
        self._file, self.runs = None, []


class Ends(NamedTuple):
    """For each run, how many of its negatives and of its positives lie below some value."""

    negatives: list[int]
    positives: list[int]

    @property
    def weight(self) -> int:
        return sum(self.negatives) + POSITIVE_COST * sum(self.positives)


def descending_ranges(runs: Sequence[SortedRun], low: float, high: float, limit: int) -> Iterator[tuple[Ends, Ends]]:
    """(bottom, top) of value ranges from `high` down to `low`, the extremes of all records.

    A range weighs `limit` at most, or holds one single value. Equal values are never parted.
    """
    floor, key_top = _key_of(low), _key_of(high) + 1
    everything = Ends([len(r.negatives) for r in runs], [len(r.positives) for r in runs])
    nothing = Ends([0] * len(runs), [0] * len(runs))
    top = everything
    while key_top > floor:
        first, last = floor, key_top - 1
        # The ends of a key between two others lie between theirs: each step searches only there.
        below, above = nothing, top
        while first < last:
            middle = (first + last) // 2
            ends = _ends_below(runs, _value_of(middle), below, above)
            if top.weight - ends.weight <= limit:
                last, above = middle, ends
            else:
                first, below = middle + 1, ends
        bottom = _ends_below(runs, _value_of(first), below, above)
        if bottom != top:
            yield bottom, top
        key_top, top = first, bottom


def _ends_below(runs: Sequence[SortedRun], value: np.float32, below: Ends, above: Ends) -> Ends:
    return Ends(
        [bisect_left(r.negatives, value, a, b) for r, a, b in zip(runs, below.negatives, above.negatives, strict=True)],
        [bisect_left(r.positives, value, a, b) for r, a, b in zip(runs, below.positives, above.positives, strict=True)],
    )


def _key_of(value: float) -> int:
    """The 32 bits of a finite float32, turned so that they rise with the value."""
    bits = int(np.float32(value).view(np.uint32))
    return ~bits & 0xFFFFFFFF if bits & 0x80000000 else bits | 0x80000000


def _value_of(key: int) -> np.float32:
    """The float32 of `_key_of`."""
    bits = key & 0x7FFFFFFF if key & 0x80000000 else ~key & 0xFFFFFFFF
    return np.float32(np.uint32(bits).view(np.float32))
