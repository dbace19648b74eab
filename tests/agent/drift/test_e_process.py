"""The bets: their arithmetic, and that they keep the false-alarm rate that they promise, over the life of a line."""

import math

import numpy as np
import pytest
from scipy.stats import beta, binom

from agent.drift.e_process import ODDS, bet, bet_factors, evidence, kept_back, rate_bound, shares, start_weight
from tests.factories.drift import NEVER, TAILS, SimulatedLines


def test_the_bound_is_that_of_clopper_and_pearson():
    assert rate_bound(20, 100, 0.01) == pytest.approx(beta.ppf(0.99, 21, 80))
    # By its definition: at this rate so few beyond are as rare as the doubt.
    assert binom.cdf(20, 100, rate_bound(20, 100, 0.01)) == pytest.approx(0.01)
    assert rate_bound(5, 5, 0.01) == 1


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.36])
def test_no_bet_wins_on_average_up_to_the_bound(rate):
    within, beyond = bet_factors(0.36)
    assert ((1 - rate) * within + rate * beyond <= 1 + 1e-12).all()
    assert ((1 - rate) * within + rate * beyond == pytest.approx(1)) == (rate == 0.36)
    assert len(within) == len(ODDS)


def test_the_whole_stake_is_placed_once():
    placed = math.fsum(start_weight(n) for n in range(1, 2001))
    assert placed + kept_back(2000) == pytest.approx(1)
    assert min(start_weight(n) for n in range(1, 2001)) > 0


def test_nothing_overflows_and_a_lost_stake_comes_back():
    factors, wealth = bet_factors(0.3), np.zeros(len(ODDS))
    for n in range(1, 3001):
        wealth = bet(wealth, n, np.array(False), factors)
    assert evidence(wealth, 3000) < 1
    for n in range(3001, 5001):
        wealth = bet(wealth, n, np.array(True), factors)
    assert np.isfinite(wealth).all()
    assert evidence(wealth, 5000) > 1e50


def test_two_thousand_lines_keep_the_bound_over_twenty_thousand_units():
    """One tail, with a false-alarm rate of 20 % so that 2,000 lines could show that it is exceeded."""
    lines = SimulatedLines(2000, 100, 0.2, 1, np.random.default_rng(100))
    alarms = (lines.found(20_000) != NEVER).mean()
    assert alarms <= 0.2


def test_a_bound_that_is_met_exactly_is_the_worst_case_and_is_kept():
    """Every line at the very rate that its bound allows: then only the bets stand between it and a false alarm."""
    lines = SimulatedLines(2000, 100, 0.2, 1, np.random.default_rng(5))
    lines.rates[:] = lines.bound
    alarms = (lines.found(3000) != NEVER).mean()
    # Half of the rate is the bets' share; that it is used to a good part shows that the test can see.
    assert 0.03 < alarms <= 0.1


def test_the_reference_at_face_value_would_break_the_bound():
    """Which is why the bound of the rate is bet against, not the rate that the calibration showed."""
    lines = SimulatedLines(500, 100, 0.01, TAILS, np.random.default_rng(2))
    assert (lines.found(2000, bound=0.2) != NEVER).mean() > 0.25


def test_the_tests_of_a_line_share_its_rate():
    doubt, enough = shares(0.01, 7)
    assert 7 * (doubt + 1 / enough) == pytest.approx(0.01)
