"""The constants of z: what puts margins and map levels on one scale. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fbclip.decision import Statistic


def fit_statistic(image: NDArray[np.float64], pixel: NDArray[np.float64], pixel_only: bool) -> Statistic:
    """Margins (n,) and region levels M (n,) of the normal images kept for it -> the constants of z."""
    a, b = _location_scale(image)
    a2, b2 = _location_scale(pixel)
    return Statistic(a=a, b=b, a2=a2, b2=b2, use="pixel" if pixel_only else "both")


def _location_scale(values: NDArray[np.float64]) -> tuple[float, float]:
    """Median, and the distance from it to the 90 % quantile: only the upper tail can alarm."""
    centre = float(np.median(values))
    spread = float(np.quantile(values, 0.9)) - centre
    # Equal values have no spread; a floor relative to their size keeps z finite.
    return centre, max(spread, 1e-3 * max(1.0, abs(centre)))
