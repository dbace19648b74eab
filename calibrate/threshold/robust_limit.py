"""A threshold from too few normal units for any promise, which one outlier among them cannot own. Pure.

The largest of few units is the threshold that an outlier sets: ten cookies with a broken one among them pass every
broken cookie. So the threshold lies between the second largest and the largest, at the limit that median and median
absolute deviation of all units give: neither is moved by one of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation of a normal distribution to its standard deviation."""


def robust_limit(z: NDArray[np.float64], alpha: float) -> float:
    """z of n units, (n,) -> float32 limit, from the second largest to the largest z.

    Between them it is Student's prediction limit: where a further unit of a normal distribution with this median and
    MAD lies with probability alpha. n must be at least 1; a single unit is its own limit.
    """
    ordered = np.sort(z)
    if len(ordered) < 2:
        return float(ordered[-1])
    centre = float(np.median(ordered))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(ordered - centre)))
    limit = centre + float(t.ppf(1 - alpha, len(ordered) - 1)) * spread * float(np.sqrt(1 + 1 / len(ordered)))
    return float(np.float32(np.clip(limit, ordered[-2], ordered[-1])))


def expected_rate(n: int) -> float:
    """What share of further normal units lies above such a limit of n units at most, on average; in 0..1.

    Above the second largest of n units it is 2/(n + 1) on average, whatever the distribution: of n + 1 units in random
    order each is as likely to be the new one.
    """
    return min(1.0, 2 / (n + 1))
