"""Probability maps as the released code makes them: softmax on the patch grid, then bilinear, then Gaussian.

The detector smooths margins. Upsampling and smoothing are linear and lose nothing of the grid (the patches are wider
than the Gaussian), so the grid of margins is found again by least squares and the steps are repeated in the released
code's order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibrate.evaluation.numbers import probability
from fbclip.errors import ConfigError
from fbclip.images.geometry import FloatMap
from fbclip.method.config import FBCLIPConfig
from fbclip.method.maps import smoothing_matrix, upsampling_matrix

MAX_CONDITION = 1e3
"""Beyond it, squared for two axes, float32 rounding would reach the probabilities' second digit."""
MAX_RESIDUAL = 1e-3


class PaperMaps:
    """Maps of side `size` from a grid of patches of `patch` pixels, smoothed with `sigma` map pixels."""

    def __init__(self, size: int, patch: int, sigma: float) -> None:
        """Raises ConfigError for a smoothing so wide that the grid cannot be found again."""
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
