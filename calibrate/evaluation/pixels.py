"""Maps and masks of one class -> its pixel numbers, with bounded memory; the paper's maps are probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from calibrate.evaluation.document import Points
from calibrate.evaluation.numbers import points, probability
from calibrate.metrics.streaming import PixelStore
from fbclip.errors import ConfigError
from fbclip.images.geometry import BoolMap, FloatMap
from fbclip.method.config import FBCLIPConfig
from fbclip.method.maps import smoothing_matrix, upsampling_matrix

MAX_CONDITION = 1e3
"""Beyond it, squared for two axes, float32 rounding would reach the probabilities' second digit."""
MAX_RESIDUAL = 1e-3


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


class PaperMaps:
    """Probability maps as the released code makes them: softmax on the patch grid, then bilinear, then Gaussian.

    The detector smooths margins. Upsampling and smoothing are linear and lose nothing of the grid (the patches are
    wider than the Gaussian), so the grid of margins is found again by least squares and the steps are repeated in the
    released code's order.
    """

    def __init__(self, size: int, patch: int, sigma: float) -> None:
        """Maps of side `size` from a grid of patches of `patch` pixels, smoothed with `sigma` map pixels.

        Raises ConfigError for a smoothing so wide that the grid cannot be found again.
        """
        truncate = FBCLIPConfig().score.smoothing_truncate
        matrix = smoothing_matrix(size, sigma, truncate) @ upsampling_matrix(size // patch, size)
        self._forward: NDArray[np.float64] = matrix.numpy()
        condition = float(np.linalg.cond(self._forward))
        if condition > MAX_CONDITION:
            raise ConfigError(
                f"--paper: smoothing by {sigma:g} map pixels hides the grid of {patch}-pixel patches; leave it out"
            )
        self._back = np.linalg.pinv(self._forward)

    def probabilities(self, margins: FloatMap) -> FloatMap:
        """Smoothed margins (S,S) -> smoothed probabilities (S,S) float32; raises ConfigError for other maps."""
        grid = self._back @ margins.astype(np.float64) @ self._back.T
        again = self._forward @ grid @ self._forward.T
        if np.abs(again - margins).max() > MAX_RESIDUAL * max(1.0, float(np.abs(margins).max())):
            raise ConfigError("--paper: the adapter smooths its maps in another way; leave --paper out")
        return np.asarray(self._forward @ probability(grid) @ self._forward.T, dtype=np.float32)
