"""The threshold that a rule in common use sets on the same units: the 95th percentile of normal scores × 1.42. Pure.

SuperADD takes it of the image scores of held-out normal images. It promises nothing, and depends on where 0 lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUANTILE, FACTOR = 0.95, 1.42
NAME = "95th percentile × 1.42"


@dataclass(frozen=True)
class CommonRule:
    """`above` of the `total` normal units lie above its threshold."""

    threshold: float
    above: int
    total: int


def common_rule(z: NDArray[np.float64]) -> CommonRule | None:
    """z of the normal units, (n,); None where the percentile is not above 0: a multiple of it would lie below it."""
    high = float(np.quantile(z, QUANTILE)) if len(z) else 0.0
    if high <= 0:
        return None
    threshold = float(np.float32(FACTOR * high))
    return CommonRule(threshold, int((z > threshold).sum()), len(z))
