"""Recall bounds, trade-off and measured intervals keep their word: simulated with the shipped functions."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from calibrate.errors import RefusedError
from calibrate.statistics.intervals import supported_alpha
from calibrate.statistics.scale import fit_statistic
from calibrate.threshold.operating_point import (
    InfeasibleError,
    UnitScores,
    best_f1,
    choose,
    just_below,
    measure,
    middle,
    recall_limit,
    set_threshold,
    trade_off,
)
from calibrate.threshold.request import Goal, ThresholdTarget
from calibrate.threshold.text import curve_text
from calibrate.threshold.unit_scores import unit_maxima
from fbclip.decision import Prediction, Statistic, Verdict, decide
from fbclip.images.geometry import Placement

TARGET = ThresholdTarget(alpha=0.05, confidence=0.95, uncertain=0.25)
RECALL = 0.95
DRAWS = 2000
NOTHING = np.array([])


def within_bound(failures: int, delta: float = 0.05) -> bool:
    """At most δ, with three standard errors for the finite number of draws."""
    return failures / DRAWS <= delta + 3 * math.sqrt(delta * (1 - delta) / DRAWS)


def float32(values) -> np.ndarray:
    return np.asarray(values).astype(np.float32).astype(np.float64)


def scores(normal=NOTHING, anomalous=NOTHING, check_normal=NOTHING, check_anomalous=NOTHING) -> UnitScores:
    return UnitScores(*(float32(v) for v in (normal, anomalous, check_normal, check_anomalous)))


def recall_of(normal, anomalous, target=TARGET):
    return choose(scores(normal, anomalous), Goal("recall", RECALL), target, trusted=True)


@pytest.mark.parametrize("pixel_only", [False, True])
@pytest.mark.parametrize("m", [59, 93])
def test_recall_bound_holds_for_the_statistic(m, pixel_only):
    """Image and pixel term dependent but different; defects share neither units nor constants with normal parts."""
    rng = np.random.default_rng(m)
    mix = np.array([[1.0, 0.5], [0.0, 2.0]])
    truth = 1.5 + rng.standard_normal((3_000, 2)) @ mix
    failures = 0
    for _ in range(DRAWS):
        scale = rng.standard_normal((10, 2)) @ mix
        s = fit_statistic(scale[:, 0], scale[:, 1], pixel_only)
        first = 1 if pixel_only else 0
        z = ((truth - [s.a, s.a2]) / [s.b, s.b2])[:, first:].max(axis=1)
        limit, carried = recall_limit(z[rng.integers(0, len(z), m)], RECALL, TARGET.confidence)
        assert carried
        failures += (z > limit).mean() < RECALL
    assert within_bound(failures)
    # The bound is used up, not merely kept: a threshold far too low would pass as well.
    assert failures > 0.01 * DRAWS


def test_recall_bound_holds_with_ties():
    rng = np.random.default_rng(1)
    truth = np.round(2 + rng.standard_normal(3_000), 1)
    failures = sum(
        (truth > recall_limit(truth[rng.integers(0, len(truth), 93)], RECALL, 0.95)[0]).mean() < RECALL
        for _ in range(DRAWS)
    )
    assert within_bound(failures)


def test_recall_bound_holds_for_units_of_correlated_images_and_fails_for_images():
    rng = np.random.default_rng(2)
    units, frames = 59, 5

    def parts(count):
        # A defect is seen well in some views only; z of a part is its best view.
        common = rng.standard_normal((count, 1)) * math.sqrt(0.9)
        return 3 + common + rng.standard_normal((count, frames)) * math.sqrt(0.1)

    truth = parts(20_000).max(axis=1)
    names = [str(u) for u in range(units) for _ in range(frames)]
    by_unit = by_image = 0
    for _ in range(DRAWS):
        z = parts(units)
        by_unit += (truth > recall_limit(unit_maxima(names, z.ravel().tolist()), RECALL, 0.95)[0]).mean() < RECALL
        # The parts' maxima written down once an image: 295 "units" that are 59.
        copied = np.repeat(z.max(axis=1), frames)
        by_image += (truth > recall_limit(copied, RECALL, 0.95)[0]).mean() < RECALL
    assert within_bound(by_unit)
    assert not within_bound(by_image)


def test_both_bounds_hold_amid_the_interval():
    rng = np.random.default_rng(3)
    shift = 4.6
    false_alarms = misses = infeasible = 0
    for _ in range(DRAWS):
        try:
            choice = recall_of(rng.standard_normal(93), shift + rng.standard_normal(93))
        except InfeasibleError:
            infeasible += 1
            continue
        t = choice.threshold.value
        assert choice.threshold.guarantee is not None
        assert choice.recall_guarantee is not None
        assert choice.threshold.uncertain_above <= t
        false_alarms += norm.sf(t) > TARGET.alpha
        misses += norm.sf(t - shift) < RECALL
    assert within_bound(false_alarms)
    assert within_bound(misses)
    # Both outcomes occur, so the refusals do not hide the failures.
    assert 0.01 < infeasible / DRAWS < 0.5


def test_every_point_of_the_curve_keeps_its_bounds():
    rng = np.random.default_rng(4)
    shift, failures = 1.5, []
    for _ in range(DRAWS):
        curve = trade_off(rng.standard_normal(60), shift + rng.standard_normal(40), 0.95)
        failures.append(
            [(norm.sf(p.threshold) > p.false_alarm_rate, norm.sf(p.threshold - shift) < p.recall) for p in curve]
        )
    assert np.array(failures).shape[1] >= 8
    for count in np.array(failures).sum(axis=0).ravel():
        assert within_bound(count)


def test_intervals_cover_on_the_half_that_did_not_choose_and_not_on_the_one_that_did():
    rng = np.random.default_rng(5)
    # A weak detector with few defects is where the best F1 flatters itself most.
    shift, confidence = 0.5, 0.9
    target = ThresholdTarget(0.05, confidence, 0.25)
    honest, naive = np.zeros(2), np.zeros(2)

    def covers(m, t):
        return (
            m.false_alarm_low <= norm.sf(t) <= m.false_alarm_high,
            m.recall_low <= norm.sf(t - shift) <= m.recall_high,
        )

    for _ in range(DRAWS):
        normal, anomalous = rng.standard_normal((2, 200)), shift + rng.standard_normal((2, 20))
        given = scores(normal[0], anomalous[0], normal[1], anomalous[1])
        choice = choose(given, Goal("f1"), target, trusted=True)
        assert choice.threshold.guarantee is None
        honest += covers(choice.measured, choice.threshold.value)
        naive += covers(
            measure(given.normal, given.anomalous, choice.threshold.value, confidence), choice.threshold.value
        )
    slack = 3 * math.sqrt(confidence * (1 - confidence) / DRAWS)
    assert (honest / DRAWS >= confidence - slack).all(), honest / DRAWS
    assert (naive / DRAWS < confidence - slack).any(), naive / DRAWS


def test_uncertain_alerts_are_bounded_when_they_alert():
    rng = np.random.default_rng(6)
    target = ThresholdTarget(0.05, 0.95, 0.05, bounds="uncertain")
    failures = 0
    for _ in range(DRAWS):
        threshold = set_threshold(rng.standard_normal(59), target)
        assert threshold.value >= threshold.uncertain_above
        failures += norm.sf(threshold.uncertain_above) > target.alpha
    assert within_bound(failures)
    many = set_threshold(np.arange(1000.0), target)
    # 0.05 and a fifth of it: 38 and 4 of 1000 may lie above.
    assert (many.uncertain_above, many.value) == (961.0, 995.0)


def decided(z: float, threshold: float) -> Verdict:
    """By the detector's own comparison: an image term that is z itself."""
    prediction = Prediction(z, 0.5, np.full((2, 2), -100, np.float32))
    one = Statistic(a=0, b=1, a2=0, b2=1)
    return decide(prediction, one, threshold, None, 1, Placement(0, 0, 2, 2)).verdict


@pytest.mark.parametrize("z", [0.0, 1.0, -3.7, 1e-20, 123.456, 7.0000005])
def test_the_threshold_just_below_lets_that_unit_alarm(z):
    z = float(np.float32(z))
    assert decided(z, just_below(z)) is Verdict.ANOMALY
    assert decided(z, z) is Verdict.OK


def test_counts_agree_with_the_verdicts():
    rng = np.random.default_rng(7)
    normal, anomalous = float32(rng.standard_normal(93)), float32(6 + rng.standard_normal(93))
    limit, _ = recall_limit(anomalous, RECALL, 0.95)
    # 93 anomalous units may miss one.
    assert sum(decided(z, limit) is Verdict.OK for z in anomalous) == 1
    choice = recall_of(normal, anomalous)
    t = choice.threshold.value
    assert choice.threshold.exceedances == sum(decided(z, t) is Verdict.ANOMALY for z in normal)
    assert np.float32(t) == t
    assert choice.interval == (set_threshold(normal, TARGET).value, limit)
    assert choice.interval[0] <= t <= limit


def test_an_interval_of_one_point_is_feasible():
    normal = np.linspace(-1, 0, 59)
    anomalous = np.linspace(float(np.nextafter(np.float32(0), np.float32(1))), 1, 59)
    assert recall_of(normal, anomalous).threshold.value == 0.0
    with pytest.raises(InfeasibleError):
        recall_of(normal, np.linspace(0, 1, 59))


def test_the_middle_never_leaves_its_interval():
    rng = np.random.default_rng(8)
    low = float32(rng.standard_normal(1000))
    for a in low:
        for b in (a, float(np.nextafter(np.float32(a), np.float32(9))), a + 1.5):
            assert a <= middle(a, b) <= b


def test_crossing_bounds_are_refused_with_the_curve():
    rng = np.random.default_rng(9)
    with pytest.raises(InfeasibleError, match="no threshold keeps") as caught:
        recall_of(rng.standard_normal(100), 1 + rng.standard_normal(100))
    curve = caught.value.curve
    assert [p.threshold for p in curve] == sorted((p.threshold for p in curve), reverse=True)
    assert [p.recall for p in curve] == sorted(p.recall for p in curve)
    assert [p.false_alarm_rate for p in curve] == sorted(p.false_alarm_rate for p in curve)
    assert curve[0].false_alarm_rate == pytest.approx(supported_alpha(100, 0.95))
    assert "\n" not in str(caught.value)
    assert len(curve_text(curve, 0.95).splitlines()) == 2 + len(curve)


def test_too_few_defects_carry_no_recall_and_leave_the_other_guarantee():
    assert not recall_limit(np.arange(58.0), RECALL, 0.95)[1]
    few = recall_of(np.linspace(-1, 0, 59), np.linspace(3, 4, 5))
    assert few.recall_guarantee is few.interval is None
    assert few.threshold.guarantee is not None


def test_a_poor_scale_promises_no_false_alarm_rate():
    choice = choose(scores(np.arange(59.0)), Goal(), TARGET, trusted=False)
    assert choice.threshold.guarantee is None


def test_best_f1_lies_amid_the_gap():
    assert best_f1(np.array([0.0, 1.0, 2.0]), np.array([4.0, 5.0])) == 3.0
    # Missing the lowest defect costs less than five false alarms.
    assert best_f1(np.array([1.0, 2, 2, 2, 2, 2]), np.array([0.0, 4, 5, 6])) == 3.0
    # All alike: everything alarms, since F1 counts defects.
    assert best_f1(np.ones(3), np.ones(3)) == just_below(1.0)
    low = np.float32(1)
    high = np.nextafter(low, np.float32(2))
    found = best_f1(np.array([float(low)]), np.array([float(high)]))
    assert decided(float(high), found) is Verdict.ANOMALY
    assert decided(float(low), found) is Verdict.OK
    with pytest.raises(RefusedError, match="there are 2 and 0"):
        best_f1(np.ones(2), NOTHING)


def test_a_given_threshold_is_measured_and_promises_nothing():
    given = scores(check_normal=np.arange(20.0), check_anomalous=[5.0, 30.0])
    choice = choose(given, Goal("manual", 17.5), TARGET, True)
    m = choice.measured
    assert (m.false_alarms, m.n_good, m.misses, m.n_bad) == (2, 20, 1, 2)
    assert m.false_alarm_low < 0.1 < m.false_alarm_high
    assert m.recall_low < 0.5 < m.recall_high
    assert choice.threshold.guarantee is choice.recall_guarantee is None
    assert choice.threshold.uncertain_above <= 17.5
    alone = choose(scores(check_normal=np.arange(20.0)), Goal("manual", -5.0), TARGET, True)
    assert (alone.measured.recall_low, alone.measured.recall_high) == (0.0, 1.0)
    assert alone.threshold.uncertain_above == -5.0
