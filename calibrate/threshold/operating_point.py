"""z of the units -> the threshold: by the false-alarm bound, with a recall bound, at the best F1, or as given. Pure.

z are float32 numbers, one a unit, the largest of its images; a unit alarms when z lies strictly above the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from calibrate.errors import RefusedError
from calibrate.metrics.ranking import f1_max
from calibrate.statistics.intervals import allowed_exceedances, measured_rate, rate_at_most
from calibrate.threshold.request import Goal, ThresholdTarget
from calibrate.threshold.robust_limit import expected_rate, robust_limit
from fbclip.artefacts.profile import Guarantee, MeasuredRates, RecallGuarantee

Values = NDArray[np.float64]
BAND = 5
"""The wider of two false-alarm rates, that of `uncertain`, is so many times the narrower one of `anomaly`."""
CURVE_POINTS = 10


@dataclass(frozen=True, eq=False)
class UnitScores:
    """z of the units, (n,) each: normal and anomalous ones that set the threshold, and those that only measure it.

    scale: of the units that set the constants of z; these count only where nothing is promised.
    worth: how many independent units the normal ones are worth, where they depend on each other.
    """

    normal: Values
    anomalous: Values
    check_normal: Values
    check_anomalous: Values
    scale: Values = field(default_factory=lambda: np.array([]))
    worth: int | None = None

    @property
    def all_normal(self) -> Values:
        return np.concatenate((self.normal, self.check_normal))


@dataclass(frozen=True)
class Threshold:
    """`value` and `uncertain_above` in z; exceedances: normal units that may lie above `value`."""

    value: float
    uncertain_above: float
    exceedances: int
    guarantee: Guarantee | None


@dataclass(frozen=True)
class Choice:
    """A threshold and what is known of it; interval: z from and to which both guarantees hold.

    expected_rate: of a limit of too few units, the share of normal units that will alarm on average, at most.
    """

    threshold: Threshold
    recall_guarantee: RecallGuarantee | None = None
    interval: tuple[float, float] | None = None
    measured: MeasuredRates | None = None
    expected_rate: float | None = None


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold promises: false alarms of at most the one share, recall of at least the other.

    Each bound holds with the confidence asked for, as long as the point is not picked for what it shows.
    """

    threshold: float
    false_alarm_rate: float
    recall: float


class InfeasibleError(RefusedError):
    """No threshold keeps both bounds; `curve` shows what is attainable, by falling threshold."""

    def __init__(self, message: str, curve: Sequence[OperatingPoint]) -> None:
        super().__init__(message)
        self.curve = tuple(curve)


def choose(scores: UnitScores, goal: Goal, target: ThresholdTarget, trusted: bool) -> Choice:
    """The threshold by the goal's method. `trusted`: enough units set the scale for the false alarms to be promised.

    Raises RefusedError where units are missing, InfeasibleError where both bounds cannot hold.
    """
    if not len(scores.all_normal):
        raise RefusedError("no normal units are left for the threshold; at least 2 are needed")
    if goal.method == "f1":
        return _measured(scores, best_f1(scores.normal, scores.anomalous), target)
    if goal.method == "manual":
        return _measured(scores, float(np.float32(goal.value)), target)
    threshold = set_threshold(scores.normal, target, scores.worth)
    if not trusted:
        threshold = replace(threshold, guarantee=None)
    if goal.method == "order-statistic":
        return Choice(threshold) if threshold.guarantee is not None else _best_effort(scores, target)
    return meet_both(scores, threshold, target, goal.value)


def set_threshold(z: Values, target: ThresholdTarget, worth: int | None = None) -> Threshold:
    """z of n independent normal units, (n,) -> the lowest threshold that the target allows.

    worth: of units that depend on each other, how many independent ones they are worth. So many as those allow may lie
    above it, of all n: higher than what independent ones would set.

    With too few units it is their maximum, and no guarantee is stated. Raises RefusedError without any.
    """
    if not len(z):
        raise RefusedError("no normal units are left for the threshold; at least 2 are needed")
    ordered = np.sort(z)[::-1]
    n = len(z) if worth is None else worth
    k = allowed_exceedances(n, target.alpha, target.confidence)
    guarantee = None
    if k is not None:
        guarantee = Guarantee(false_alarm_rate=target.alpha, confidence=target.confidence)
    k = k or 0
    if target.bounds == "uncertain":
        fewer = allowed_exceedances(n, target.alpha / BAND, target.confidence) or 0
        return Threshold(float(ordered[fewer]), float(ordered[k]), fewer, guarantee)
    loose = allowed_exceedances(n, target.uncertain, target.confidence) or 0
    return Threshold(float(ordered[k]), float(ordered[max(loose, k)]), k, guarantee)


def meet_both(scores: UnitScores, base: Threshold, target: ThresholdTarget, recall: float) -> Choice:
    """The threshold that `set_threshold` found in the normal units, raised to the middle of what both bounds allow.

    The false-alarm bound holds from its order statistic upwards and the recall bound from its own downwards, each
    with the confidence of the target; so both hold anywhere between, together with at least 2·confidence − 1, and the
    middle leaves a margin to either side. Raises InfeasibleError where the two cross, RefusedError without defects.
    """
    highest, carried = recall_limit(scores.anomalous, recall, target.confidence)
    # The z that the false-alarm rate is bounded at.
    lowest = base.value if target.bounds == "anomaly" else base.uncertain_above
    if lowest > highest:
        raise _infeasible(scores, (lowest, highest), target, recall)
    value = middle(lowest, highest)
    threshold = replace(base, value=value, exceedances=int((scores.normal > value).sum()))
    promise = RecallGuarantee(recall=recall, confidence=target.confidence) if carried else None
    both = promise is not None and threshold.guarantee is not None
    return Choice(threshold, promise, (lowest, highest) if both else None)


def recall_limit(anomalous: Values, recall: float, confidence: float) -> tuple[float, bool]:
    """(largest threshold that leaves `recall` of the anomalous units, whether `confidence` stands behind it).

    With too few units it lies below all of them. Raises RefusedError without any.
    """
    if not len(anomalous):
        raise RefusedError("no anomalous units are left for --recall")
    k = allowed_exceedances(len(anomalous), 1 - recall, confidence)
    return just_below(np.sort(anomalous)[k or 0]), k is not None


def _best_effort(scores: UnitScores, target: ThresholdTarget) -> Choice:
    """Nothing is promised, so all normal units count, also those that set the scale."""
    z = np.concatenate((scores.normal, scores.scale))
    value = robust_limit(z, target.alpha)
    wide = target.alpha if target.bounds == "uncertain" else target.uncertain
    threshold = Threshold(value, min(value, robust_limit(z, wide)), int((scores.normal > value).sum()), None)
    return Choice(threshold, expected_rate=expected_rate(len(z)))


def best_f1(normal: Values, anomalous: Values) -> float:
    """The threshold with the largest F1 of units; of equal ones the highest, amid the gap below the lowest alarm.

    Raises RefusedError when either kind is missing.
    """
    z = np.concatenate((normal, anomalous))
    found = f1_max(z, np.arange(len(z)) >= len(normal))
    if found is None:
        raise RefusedError(f"--f1 takes normal and anomalous units, there are {len(normal)} and {len(anomalous)}")
    lowest = found[1]
    below = z[z < lowest]
    # Of neighbouring float32 the middle may round up to the alarm itself.
    return min(middle(float(below.max()), lowest), just_below(lowest)) if len(below) else just_below(lowest)


def _measured(scores: UnitScores, value: float, target: ThresholdTarget) -> Choice:
    """Nothing is promised of such a threshold; what it does is measured on units that had no say in it."""
    band = set_threshold(scores.normal if len(scores.normal) else scores.check_normal, target).uncertain_above
    above = int((scores.all_normal > value).sum())
    return Choice(
        Threshold(value, min(band, value), above, None),
        measured=measure(scores.check_normal, scores.check_anomalous, value, target.confidence),
    )


def measure(normal: Values, anomalous: Values, threshold: float, confidence: float) -> MeasuredRates:
    """False-alarm rate and recall with their intervals; valid where these units had no say in the threshold."""
    alarms = measured_rate(int((normal > threshold).sum()), len(normal), confidence)
    found = measured_rate(int((anomalous > threshold).sum()), len(anomalous), confidence)
    false_alarm_low, false_alarm_high = alarms.interval or (0.0, 1.0)
    recall_low, recall_high = found.interval or (0.0, 1.0)
    return MeasuredRates(
        confidence=confidence,
        n_good=alarms.total,
        false_alarms=alarms.count,
        false_alarm_low=false_alarm_low,
        false_alarm_high=false_alarm_high,
        n_bad=found.total,
        misses=found.total - found.count,
        recall_low=recall_low,
        recall_high=recall_high,
    )


def trade_off(normal: Values, anomalous: Values, confidence: float) -> list[OperatingPoint]:
    """What thresholds at the normal units' order statistics promise, by falling threshold, at most CURVE_POINTS.

    The ranks do not depend on the scores, so each false-alarm bound is that of an order statistic; and no anomalous
    unit has a say in the threshold, so its misses are a plain binomial count.
    """
    ordered = np.sort(normal)[::-1]
    ranks = np.unique(np.geomspace(1, len(ordered), CURVE_POINTS).round().astype(int)) - 1
    return [
        OperatingPoint(
            float(ordered[k]),
            rate_at_most(int(k), len(normal), confidence),
            1 - rate_at_most(int((anomalous <= ordered[k]).sum()), len(anomalous), confidence),
        )
        for k in ranks
    ]


def _infeasible(
    scores: UnitScores, bounds: tuple[float, float], target: ThresholdTarget, recall: float
) -> InfeasibleError:
    (lowest, highest), normal, anomalous = bounds, scores.normal, scores.anomalous
    with_false_alarm = 1 - rate_at_most(int((anomalous <= lowest).sum()), len(anomalous), target.confidence)
    # The recall limit comes from anomalous units only, so the normal units' alarms at it are a plain count.
    with_recall = rate_at_most(int((normal > highest).sum()), len(normal), target.confidence)
    message = (
        f"no threshold keeps a false-alarm rate of {target.alpha:.2%} and a recall of {recall:.1%}: the first needs "
        f"z >= {lowest:.4f}, the second z <= {highest:.4f}. At {target.confidence:.0%} confidence this false-alarm "
        f"rate goes with a recall of {with_false_alarm:.1%}, this recall with a false-alarm rate of {with_recall:.1%}. "
        "Ask for less of one, or tune the line's adapter"
    )
    return InfeasibleError(message, trade_off(normal, anomalous, target.confidence))


def just_below(z: float) -> float:
    """The largest float32 below z: at this threshold z itself still alarms."""
    return float(np.nextafter(np.float32(z), np.float32("-inf")))


def middle(low: float, high: float) -> float:
    """The float32 in the middle of two, low <= middle <= high: both ends keep the same distance."""
    return float(np.float32((low + high) / 2))
