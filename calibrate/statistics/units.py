"""What is independent: scores of images become scores of units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def unit_maxima(units: Sequence[str], z: Sequence[float]) -> NDArray[np.float64]:
    """The largest z of each unit, (n_units,): a unit alarms when any of its frames does."""
    best: dict[str, float] = {}
    for unit, value in zip(units, z, strict=True):
        best[unit] = max(value, best.get(unit, float("-inf")))
    return np.array(list(best.values()))
