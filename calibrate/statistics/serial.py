"""Whether numbers that came one after the other depend on each other, and what they are then worth. Pure.

The test: lag-1 autocorrelation of the ranks, against random orders of the same numbers. Independent numbers are
exchangeable, so its p-value is exact whatever their distribution, up to the number of orders that are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

LEVEL = 0.01
"""Independent numbers are called dependent as often as this, at most."""
ORDERS = 999
FEWEST = 8
_SEED = 4099


@dataclass(frozen=True)
class SerialDependence:
    """lag1: autocorrelation of the ranks; p_value of it or a larger one by chance; effective: what they are worth.

    level: p values up to this one count as dependence.
    """

    lag1: float
    p_value: float
    effective: int
    level: float = LEVEL

    @property
    def dependent(self) -> bool:
        return self.p_value <= self.level


def serial_dependence(values: NDArray[np.float64], level: float = LEVEL) -> SerialDependence | None:
    """Values in order, (n,); None for fewer than FEWEST or where all are the same.

    effective: n unless dependent, else n / (1 + 2·Σ ρ_k), ρ_k being the ranks' autocorrelations up to the first that
    is not positive (C. J. Geyer, Statistical Science 7 (1992)); runs of m copies are worth n/m.
    """
    n = len(values)
    ranks = np.asarray(rankdata(values), np.float64)
    centred = ranks - ranks.mean()
    variance = float(centred @ centred)
    if n < FEWEST or variance == 0:
        return None
    lag1 = float(centred[:-1] @ centred[1:]) / variance
    orders = np.random.default_rng(_SEED).permuted(np.tile(centred, (ORDERS, 1)), axis=1)
    by_chance = np.einsum("ij,ij->i", orders[:, :-1], orders[:, 1:]) / variance
    p_value = (1 + int((by_chance >= lag1 - 1e-12).sum())) / (ORDERS + 1)
    effective = n if p_value > level else max(1, int(n / _stretch(centred, variance)))
    return SerialDependence(lag1, p_value, effective, level)


def _stretch(centred: NDArray[np.float64], variance: float) -> float:
    """How many numbers in a row are worth one."""
    total, n = 1.0, len(centred)
    for lag in range(1, n):
        # What few products show is scaled up to n of them, or a long run would look shorter than it is.
        correlation = float(centred[:-lag] @ centred[lag:]) / variance * n / (n - lag)
        if correlation <= 0:
            break
        total += 2 * correlation
    return total
