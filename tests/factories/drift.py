"""Many lines at once under the shipped bets: calibrations, streams, and when the watch of each line finds something."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from agent.drift.e_process import bet, bet_factors, evidence, rate_bound, shares
from fbclip.artefacts.drift_reference import TAIL_SHARE

TAILS = 7
"""Of a line with picture limits and a reference picture."""
NEVER = 0
Shift = Callable[[int], float]


class SimulatedLines:
    """`lines` lines, each calibrated on `n` units of its own, watched at `tails` tails of which all are simulated."""

    def __init__(self, lines: int, n: int, false_alarm: float, tails: int, rng: np.random.Generator) -> None:
        beyond = math.floor(TAIL_SHARE * n)
        self.doubt, self.enough = shares(false_alarm, tails)
        self.bound = rate_bound(math.ceil(TAIL_SHARE * n), n, self.doubt)
        self._rng = rng
        # The share of a continuous distribution that lies beyond its n-th calibrated limit, whatever it is.
        self.rates = rng.beta(beyond + 1, n - beyond, (lines, tails))

    def found(self, units: int, shift: Shift = lambda _: 0.0, bound: float | None = None) -> np.ndarray:
        """(lines,) the unit at which a tail first was an alarm, NEVER where none was.

        shift: at unit t, of normal scores, towards the limit of the first tail. bound: instead of the watch's own.
        """
        from scipy.special import ndtr, ndtri

        factors = bet_factors(self.bound if bound is None else bound)
        wealth = np.zeros((*self.rates.shape, factors.shape[1]))
        first = np.full(len(self.rates), NEVER)
        limits, rates = ndtri(self.rates[:, 0]), self.rates.copy()
        for t in range(1, units + 1):
            if (moved := shift(t)) != 0:
                rates[:, 0] = ndtr(limits + moved)
            beyond = self._rng.random(rates.shape, dtype=np.float32) < rates
            wealth = bet(wealth, t, beyond, factors)
            alarm = (evidence(wealth, t) >= self.enough).any(axis=1)
            first = np.where((first == NEVER) & alarm, t, first)
        return first


def step_at(unit: int, size: float) -> Shift:
    """A new lot: from unit on, so many standard deviations."""
    return lambda t: size if t > unit else 0.0


def ramp_from(unit: int, per_thousand: float) -> Shift:
    """A lamp that ages: so many standard deviations more for each thousand units."""
    return lambda t: max(0, t - unit) * per_thousand / 1000
