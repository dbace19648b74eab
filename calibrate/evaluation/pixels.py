"""Maps and masks of one class -> its pixel numbers, with bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType

import cv2
import numpy as np

from calibrate.evaluation.numbers import Points, points
from calibrate.metrics.streaming import PixelStore
from fbclip.images.geometry import BoolMap, FloatMap


@dataclass(frozen=True)
class PixelNumbers:
    """Numbers in 0..1, None where undefined; curves thinned: roc (FPR, TPR), pr (recall, precision), pro (FPR, PRO)."""

    auroc: float | None = None
    average_precision: float | None = None
    f1_max: float | None = None
    aupro: float | None = None
    roc: Points = field(default_factory=list)
    pr: Points = field(default_factory=list)
    pro: Points = field(default_factory=list)


class ClassPixels:
    """Collects the maps of one class in a PixelStore.

    The store holds at most 2^24 pixels in memory (about 350 MB) and spills the rest to an unnamed temporary file,
    4 bytes a normal pixel. Classes are evaluated one after the other, so that only one store is open.
    """

    def __init__(self) -> None:
        self._store = PixelStore()

    def __enter__(self) -> ClassPixels:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._store.close()

    def add(self, values: FloatMap, mask: BoolMap, ignore: BoolMap | None) -> None:
        """One map (H,W) with its mask, both (H,W); pixels where `ignore` (H,W) is true do not count."""
        if ignore is None:
            self._store.add(values, mask)
            return
        # A store asks only which values are normal and which belong together, so the parts that stay are handed over
        # one by one; a region is what of a defect can be seen.
        count, labels = cv2.connectedComponents((mask & ~ignore).astype(np.uint8), connectivity=8)
        normal = values[~mask & ~ignore][None]
        self._store.add(normal, np.zeros(normal.shape, dtype=np.bool_))
        for region in range(1, count):
            part = values[labels == region][None]
            self._store.add(part, np.ones(part.shape, dtype=np.bool_))

    def numbers(self, paper: bool) -> PixelNumbers:
        """`paper`: AUPRO by the released code's definition, else exact; the others are the same by both."""
        found, curves = self._store.result(), self._store.curves()
        aupro = self._store.aupro_paper() if paper else found.aupro
        if curves is None:
            return PixelNumbers()
        return PixelNumbers(
            found.auroc,
            found.average_precision,
            found.f1_max,
            aupro,
            points(curves.roc),
            points(curves.precision_recall),
            points(curves.pro),
        )
