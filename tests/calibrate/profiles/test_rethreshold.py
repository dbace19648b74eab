"""Another threshold: the bound against its definition, and what holds without one."""

import numpy as np
import pytest
from scipy.stats import binom

from calibrate.errors import RefusedError
from calibrate.profiles.rethreshold import at_threshold, most_above
from calibrate.threshold.calibration_record import QUANTILES, reference
from calibrate.threshold.operating_point import UnitScores, choose
from calibrate.threshold.request import Goal, ThresholdTarget
from fbclip.artefacts.profile import MeasuredRates, Profile
from fbclip.artefacts.sees import FoundShare, Sees
from tests.factories.models import tiny_profile

TARGET = ThresholdTarget(0.05, 0.95, 0.2)
NONE = np.array([])


def a_profile(z, target=TARGET, goal=Goal(), anomalous=NONE, n_constants=10, **changes) -> Profile:
    """The profile that `calibrate threshold` makes of these unit scores."""
    choice = choose(UnitScores(z, anomalous, NONE, NONE), goal, target, trusted=n_constants >= 10)
    values = {
        "method": goal.method, "n_good": len(z), "n_constants": n_constants, "n_bad": len(anomalous),
        "exceedances": choice.threshold.exceedances, "target": target.alpha, "confidence": target.confidence,
        "guarantee": choice.threshold.guarantee, "recall_guarantee": choice.recall_guarantee,
        "interval": choice.interval, "measured": choice.measured, "bounds": target.bounds, "reference": reference(z),
        "quantiles": {f"{q:g}": round(float(np.quantile(z, q)), 6) for q in QUANTILES},
    }  # fmt: skip
    base = tiny_profile(threshold=choice.threshold.value, uncertain_above=choice.threshold.uncertain_above)
    return base.model_copy(update={"calibration": base.calibration.model_copy(update=values | changes)})


def scores(n, seed=0, centre=0.0):
    return np.random.default_rng(seed).normal(centre, 1, n).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("value", [0.5, 1.0, 1.5, 2.0])
def test_the_bound_is_the_exact_binomial_one(value):
    z = scores(400)
    made = at_threshold(a_profile(z), value).profile.calibration
    above = int((z > value).sum())
    assert made.exceedances == above
    rate = made.guarantee.false_alarm_rate
    # At the rate so few exceedances have a chance of 5 %, a little below it of more.
    assert binom.cdf(above, 400, rate) <= 0.05 < binom.cdf(above, 400, rate * 0.999)
    assert made.method == "manual"


@pytest.mark.parametrize("n", [37, 1000, 1001, 2500, 7003])
def test_counts_of_a_thinned_reference_are_never_too_low(n):
    z = scores(n, seed=n)
    profile = a_profile(z)
    for value in np.quantile(z, np.linspace(0, 1, 41)):
        found, true = most_above(profile.calibration, float(value)), int((z > value).sum())
        # A score of the reference is rounded, so the one at the threshold itself may count.
        assert true <= found <= true + 1 + (0 if n <= 1000 else n // 999 + 1)
    assert most_above(profile.calibration, -100) == n
    assert most_above(profile.calibration, 100) == 0


def test_early_profiles_have_quantiles_only():
    z = scores(350)
    c = a_profile(z, reference=()).calibration
    for value in np.quantile(z, np.linspace(0, 1, 50)):
        assert most_above(c, float(value)) >= int((z > value).sum())
    assert most_above(c, float(z.max()) + 0.1) == 0
    assert most_above(c.model_copy(update={"quantiles": {}}), 100.0) == 350


def test_the_promise_holds_at_its_own_threshold_and_above():
    profile = a_profile(scores(300))
    for value in (profile.threshold, profile.threshold + 0.001):
        made = at_threshold(profile, value).profile
        assert made.calibration.guarantee.false_alarm_rate <= 0.05
        assert made.uncertain_above == profile.uncertain_above
    lower = at_threshold(profile, profile.threshold - 0.5).profile
    assert lower.calibration.guarantee.false_alarm_rate > 0.05
    assert lower.uncertain_above <= lower.threshold


def test_in_draws_the_recomputed_bound_is_kept():
    """True rate of a normal z above 1.6, of 500 lines: the stated bound is exceeded in about 5 % of them."""
    true = 0.054799
    rates = [
        at_threshold(a_profile(scores(200, seed)), 1.6).profile.calibration.guarantee.false_alarm_rate
        for seed in range(500)
    ]
    broken = sum(rate < true for rate in rates)
    assert broken <= binom.ppf(0.999, 500, 0.05)
    assert broken > 0


def test_uncertain_is_bounded_where_it_was():
    profile = a_profile(scores(400), ThresholdTarget(0.05, 0.95, 0.05, bounds="uncertain"))
    made = at_threshold(profile, profile.threshold + 1).profile
    assert made.calibration.guarantee == profile.calibration.guarantee
    lower = at_threshold(profile, profile.uncertain_above - 0.5).profile
    assert lower.threshold == lower.uncertain_above
    assert lower.calibration.guarantee.false_alarm_rate > 0.05


def test_recall_stays_only_below_what_it_was_shown_at():
    profile = a_profile(scores(300), goal=Goal("recall", 0.9), anomalous=scores(80, 1, 6.0))
    low, high = profile.calibration.interval
    inside = at_threshold(profile, (low + 3 * high) / 4).profile.calibration
    assert (inside.guarantee, inside.recall_guarantee, inside.interval) == (
        profile.calibration.guarantee, profile.calibration.recall_guarantee, (low, high),
    )  # fmt: skip
    below = at_threshold(profile, low - 0.5).profile.calibration
    assert below.recall_guarantee is not None
    assert below.interval is None
    above = at_threshold(profile, high + 0.5)
    assert above.profile.calibration.recall_guarantee is None
    assert any("holds up to" in line for line in above.basis)


def test_without_a_basis_nothing_is_promised():
    few = at_threshold(a_profile(scores(300), n_constants=3), 2.0)
    assert few.profile.calibration.guarantee is None
    assert "set the scale" in few.basis[0]
    assert at_threshold(a_profile(scores(300)), -50.0).profile.calibration.guarantee is None
    with pytest.raises(RefusedError, match="finite"):
        at_threshold(a_profile(scores(300)), float("nan"))


def test_what_was_measured_at_the_old_threshold_is_dropped():
    rates = MeasuredRates(
        confidence=0.95, n_good=10, false_alarms=0, false_alarm_low=0, false_alarm_high=0.3,
        n_bad=0, misses=0, recall_low=0, recall_high=1,
    )  # fmt: skip
    made = at_threshold(a_profile(scores(300), measured=rates), 2.0)
    assert made.profile.calibration.measured is None
    assert "belong to the old threshold" in made.basis[-1]


def test_what_is_found_is_that_of_the_new_threshold():
    """Raised beyond the painted defects a profile is blind, and says so; it never keeps what the old one found."""
    row = FoundShare(what="large", found=10, total=10, low=0.69, high=1, z=tuple(float(z) for z in range(5, 15)))
    profile = a_profile(scores(100)).model_copy(update={"sees": Sees(confidence=0.95, sizes=(row,), kinds=())})
    same, half, none = (at_threshold(profile, value) for value in (4.0, 9.5, 100.0))
    assert (same.profile.sees.large.found, same.profile.sees.blind) == (10, False)
    assert half.profile.sees.large.found == 5
    assert none.profile.sees.blind
    assert "BLIND: it finds 0 of 10 large painted defects" in none.basis
    unknown = profile.sees.model_copy(update={"sizes": (row.model_copy(update={"z": ()}),)})
    lost = at_threshold(profile.model_copy(update={"sees": unknown}), 4.0)
    assert lost.profile.sees.blind and "z of the painted defects was not kept" in lost.basis[-1]
