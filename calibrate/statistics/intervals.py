"""Bootstrap draws -> an interval, and the confidence that all of calibrate's intervals have. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
"""Of every interval that nobody asked another confidence for."""


def percentile_interval(
    draws: NDArray[np.float64], confidence: float = CONFIDENCE, axis: int = -1
) -> NDArray[np.float64]:
    """Draws along `axis` -> low and high, (2,) followed by the other axes: the middle `confidence` of the draws.

    Draws that are NaN, such as those whose units are all of one kind, do not count; without any other the ends are NaN.
    B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    tail = (1 - confidence) / 2
    return np.asarray(np.nanquantile(draws, (tail, 1 - tail), axis=axis), np.float64)
