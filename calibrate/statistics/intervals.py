"""What n units can prove: exact binomial bounds of a rate, and percentile intervals of a bootstrap. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom

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


@dataclass(frozen=True)
class Rate:
    """`count` of `total` units, their share `rate` and its exact interval `low`..`high`, all in 0..1.

    The last three are None for 0 of 0, of which nothing is known.
    """

    count: int
    total: int
    rate: float | None
    low: float | None
    high: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """(low, high), None for 0 of 0."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def measured_rate(count: int, total: int, confidence: float = CONFIDENCE) -> Rate:
    """The rate that `count` of `total` units showed, with Clopper and Pearson's interval."""
    if not total:
        return Rate(count, total, None, None, None)
    return Rate(count, total, count / total, *rate_between(count, total, confidence))


def required_units(alpha: float, confidence: float) -> int:
    """Smallest n with (1−α)^n ≤ 1−confidence: 299 for α = 0.01 at 95 %."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-alpha))


def supported_alpha(n: int, confidence: float) -> float:
    """The best rate that n units can prove with none above the threshold; 1.0 for n = 0."""
    return 1.0 if n == 0 else -math.expm1(math.log(1 - confidence) / n)


def allowed_exceedances(n: int, alpha: float, confidence: float) -> int | None:
    """Largest k with P(Binomial(n, α) ≤ k) ≤ 1−confidence; None where even k = 0 proves too little."""
    if n < required_units(alpha, confidence):
        return None
    k = int(binom.ppf(1 - confidence, n, alpha))
    # ppf gives the smallest k whose tail reaches 1−confidence; step to the last one that does not exceed it.
    while k >= 0 and binom.cdf(k, n, alpha) > 1 - confidence:
        k -= 1
    return k if k >= 0 else None


def rate_at_most(k: int, n: int, confidence: float) -> float:
    """Upper limit of a rate in 0..1 that k of n units showed: the p with P(Binomial(n, p) ≤ k) = 1−confidence."""
    return 1.0 if k >= n else float(beta.ppf(confidence, k + 1, n - k))


def rate_between(k: int, n: int, confidence: float) -> tuple[float, float]:
    """Clopper and Pearson's interval (low, high) of a rate in 0..1 that k of n units showed; (0, 1) for n = 0.

    Covers the true rate with at least `confidence`, half of the rest on each side. C. J. Clopper, E. S. Pearson,
    Biometrika 26 (1934).
    """
    one_sided = (1 + confidence) / 2
    return 1 - rate_at_most(n - k, n, one_sided), rate_at_most(k, n, one_sided)
