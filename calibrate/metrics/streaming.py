"""Pixel metrics, exact, of a data set that does not fit into memory.

with PixelStore() as store:
    for values, mask in pairs:
        store.add(values, mask)
    print(store.result())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from calibrate.errors import DataError
from calibrate.metrics.points import CurvePoints
from calibrate.metrics.ranking import Array, Groups, RankingTally, Totals, group_positives, limited_area
from calibrate.metrics.regions import FPR_LIMIT, PaperTally, split_map
from calibrate.metrics.runs import POSITIVE_COST, Ends, SortedRun, Spill, descending_ranges

BUFFER = 1 << 24


class PixelMetrics(NamedTuple):
    """The metrics of all pixels added; None where undefined, as in `ranking` and `regions`."""

    auroc: float | None
    average_precision: float | None
    f1_max: float | None
    f1_threshold: float | None
    aupro: float | None
    n_pixels: int
    n_regions: int


class PixelCurves(NamedTuple):
    """Thinned curves, each float64 (K,2) with K of a few hundred."""

    roc: Array
    precision_recall: Array
    pro: Array


class PixelStore:
    """Collects maps and masks; the numbers are those of `ranking` and `regions` on all of them together.

    At most `buffer` pixels are in memory, a pixel of a region counting as eight: about 20 bytes each, 350 MB by
    default, beside the map being added. What is more goes to a temporary file in `folder` (default: the system's):
    4 bytes a normal pixel, 8 bytes a pixel of a region. The file has no name and vanishes with the process.
    """

    def __init__(self, folder: Path | None = None, *, buffer: int = BUFFER) -> None:
        self._spill, self._buffer = Spill(folder), buffer
        self._low, self._high = np.inf, -np.inf
        self._negatives = self._positives = self._regions = 0
        self._clear()

    def __enter__(self) -> PixelStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give memory and disk back; nothing can be asked afterwards."""
        self._clear()
        self._spill.close()

    def _clear(self) -> None:
        self._pending: tuple[list[Array], list[Array], list[Array]] = ([], [], [])
        self._load = 0

    def add(self, values: Array, mask: Array) -> None:
        """One map (H,W) float32, finite, and its mask (H,W) bool; sizes may differ from map to map.

        Raises DataError as `split_map` does, for other float types, and where the disk is full.
        """
        if values.dtype != np.float32:
            raise DataError(f"a map is {values.dtype}, not float32")
        part = split_map(values, mask)
        # Without a region the part is the caller's own array.
        columns = (part.negatives.copy(), part.positives, part.sizes)
        for pieces, column in zip(self._pending, columns, strict=True):
            pieces.append(column)
        self._negatives += len(part.negatives)
        self._positives += len(part.positives)
        self._regions += part.regions
        if values.size:
            self._low, self._high = min(self._low, float(values.min())), max(self._high, float(values.max()))
        self._load += len(part.negatives) + POSITIVE_COST * len(part.positives)
        if self._load > self._buffer:
            self._flush()

    @property
    def totals(self) -> Totals:
        """What has been added so far."""
        return Totals(self._negatives, self._positives, self._regions)

    def result(self) -> PixelMetrics:
        """The metrics; maps can still be added afterwards."""
        totals = self.totals
        counts = totals.negatives + totals.positives, totals.regions
        if not totals.both:
            return PixelMetrics(None, None, None, None, None, *counts)
        tally, area = RankingTally(totals), 0.0
        for groups in self._groups():
            tally.add(groups)
            area += limited_area(groups, totals, FPR_LIMIT)
        return PixelMetrics(tally.auroc, tally.average_precision, tally.f1, tally.f1_threshold, area, *counts)

    def curves(self) -> PixelCurves | None:
        """The curves for a report; None where there is nothing to tell apart."""
        if not self.totals.both:
            return None
        points = CurvePoints(self.totals)
        for groups in self._groups():
            points.add(groups)
        return PixelCurves(points.roc(), points.precision_recall(), points.pro(FPR_LIMIT))

    def aupro_paper(self) -> float | None:
        """AUPRO by the released code's definition, which is for probability maps."""
        if not self.totals.both:
            return None
        tally = PaperTally(self._low, self._high)
        step = max(1, self._buffer // POSITIVE_COST)
        for run in self._runs():
            for start in range(0, len(run.negatives), step):
                tally.add(run.negatives[start : start + step], run.positives[:0], run.sizes[:0])
            for start in range(0, len(run.positives), step):
                part = slice(start, start + step)
                tally.add(run.negatives[:0], run.positives[part], run.sizes[part])
        return tally.result(self._regions)

    def _flush(self) -> None:
        if self._pending[0]:
            self._spill.write(*_sorted_columns(*self._pending))
            self._clear()

    def _runs(self) -> list[SortedRun]:
        # All in memory or all in the file, so that memory holds one range or the buffer, never both.
        if self._spill.runs:
            self._flush()
            return self._spill.runs
        return [SortedRun(*_sorted_columns(*self._pending))] if self._pending[0] else []

    def _groups(self) -> Iterator[Groups]:
        """All positives' groups in descending slices."""
        tp = fp = 0
        runs = self._runs()
        for bottom, top in descending_ranges(runs, self._low, self._high, self._buffer):
            found = sum(top.positives) - sum(bottom.positives)
            passed = sum(top.negatives) - sum(bottom.negatives)
            if found and top.weight - bottom.weight > self._buffer:
                yield _one_value(runs, bottom, top, Totals(passed, found), Totals(fp, tp), self._buffer)
            elif found:
                yield _slice_groups(runs, bottom, top, Totals(fp, tp))
            tp, fp = tp + found, fp + passed


def _sorted_columns(negatives: list[Array], positives: list[Array], sizes: list[Array]) -> tuple[Array, Array, Array]:
    below, values = np.concatenate(negatives), np.concatenate(positives)
    below.sort()
    order = np.argsort(values)
    return below, values[order], np.concatenate(sizes)[order]


def _slice_groups(runs: list[SortedRun], bottom: Ends, top: Ends, above: Totals) -> Groups:
    """Groups of a range that fits into memory; `above` counts what came before it."""
    negatives = [r.negatives[a:b] for r, a, b in zip(runs, bottom.negatives, top.negatives, strict=True)]
    spans = [slice(a, b) for a, b in zip(bottom.positives, top.positives, strict=True)]
    values = np.concatenate([r.positives[span] for r, span in zip(runs, spans, strict=True)])
    weights = np.concatenate([1.0 / r.sizes[span] for r, span in zip(runs, spans, strict=True)])
    merged = np.concatenate(negatives)
    merged.sort()
    return group_positives(merged, values, weights, above.positives, above.negatives)


def _one_value(runs: list[SortedRun], bottom: Ends, top: Ends, here: Totals, above: Totals, piece: int) -> Groups:
    """The group of one value that more pixels share than fit into memory: nothing but counts and a sum is needed."""
    weight, value = 0.0, np.float32(0)
    for run, first, end in zip(runs, bottom.positives, top.positives, strict=True):
        if end > first:
            value = run.positives[first]
        for start in range(first, end, piece):
            weight += float(np.sum(1.0 / run.sizes[start : min(end, start + piece)]))
    counts = (here.positives, above.positives + here.positives, above.negatives, above.negatives + here.negatives)
    positives, tp, before, fp = (np.array([count]) for count in counts)
    return Groups(np.array([value]), positives, np.array([weight]), tp, before, fp)
