"""Bets that a rate lies above a bound, for any number of units: pure arithmetic on arrays of any shape.

Each unit lies beyond a limit or not. Of the calibration's `units` at most `beyond` did, so with confidence 1 - doubt
the true rate is at most p = `rate_bound` (Clopper and Pearson). A bet on a higher rate q multiplies what is at stake by
q/p for a unit beyond and by (1-q)/(1-p) for any other: on average by at most 1 while the rate is at most p. By Ville's
inequality it ever reaches L with probability 1/L at most, however long the line runs and however often one looks.

A change may come at any time, so a share of the stake is kept back for bets that begin later: `start_weight(n)` is
placed before unit n, and over all n the weights sum to 1. A stake that was lost in quiet years costs no power then.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

ODDS = (1.5, 3.0, 9.0)
"""How many times the odds of the bound the bets are on: a slight change, a clear one, and a new picture."""
_MOST = 1e100

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def rate_bound(beyond: int, units: int, doubt: float) -> float:
    """The largest rate that is compatible with `beyond` of `units`, with confidence 1 - doubt."""
    return 1.0 if beyond >= units else float(betaincinv(beyond + 1, units - beyond, 1 - doubt))


def bet_factors(bound: float) -> Floats:
    """(2,J): what a unit within the limit, and one beyond it, multiply each of the J bets by."""
    odds = bound / (1 - bound) * np.array(ODDS)
    rates = odds / (1 + odds)
    return np.stack([(1 - rates) / (1 - bound), rates / bound])


def kept_back(n: int) -> float:
    """The share of the stake that is not placed after n units."""
    return 1 / (1 + math.log1p(n))


def start_weight(n: int) -> float:
    """The share of the stake that is placed before unit n, from 1."""
    return kept_back(n - 1) - kept_back(n)


def bet(wealth: Floats, n: int, beyond: Bools, factors: Floats) -> Floats:
    """(...,J) what the bets had come to, and whether unit n (...) is beyond -> (...,J) what they have come to."""
    grown: Floats = (wealth + start_weight(n)) * factors[beyond.astype(np.intp)]
    return np.minimum(grown, _MOST)


def evidence(wealth: Floats, n: int) -> Floats:
    """(...,J) after n units -> (...): the e-value, which reaches L with probability 1/L at most."""
    total: Floats = wealth.mean(axis=-1) + kept_back(n)
    return total


def shares(false_alarm: float, tests: int) -> tuple[float, float]:
    """(doubt of each bound, e-value that is enough): so that `tests` tests together raise a false alarm with
    probability `false_alarm` at most. Half of it goes to the bounds, half to the bets, the same to each test."""
    each = false_alarm / tests
    return each / 2, 2 / each
