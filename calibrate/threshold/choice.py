"""The four ways to a threshold: the false-alarm bound alone, with a recall bound, the best F1, or a given number."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from calibrate.errors import RefusedError
from calibrate.threshold.line_data import Method
from calibrate.threshold.operating_point import Values, best_f1, measure, meet_both
from calibrate.threshold.order_statistic import Threshold, ThresholdTarget, set_threshold
from fbclip.artefacts.profile import MeasuredRates, RecallGuarantee


@dataclass(frozen=True)
class Goal:
    """value: the recall in 0..1 of method `recall`, the threshold in z of method `manual`; else not used."""

    method: Method = "order-statistic"
    value: float = 0.0


@dataclass(frozen=True, eq=False)
class UnitScores:
    """z of the units, (n,) each: normal and anomalous ones that set the threshold, and those that only measure it."""

    normal: Values
    anomalous: Values
    check_normal: Values
    check_anomalous: Values

    @property
    def all_normal(self) -> Values:
        return np.concatenate((self.normal, self.check_normal))


@dataclass(frozen=True)
class Choice:
    """A threshold and what is known of it; interval: z from and to which both guarantees hold."""

    threshold: Threshold
    recall_guarantee: RecallGuarantee | None = None
    interval: tuple[float, float] | None = None
    measured: MeasuredRates | None = None


def choose(scores: UnitScores, goal: Goal, wish: ThresholdTarget, trusted: bool) -> Choice:
    """The threshold by the goal's method. `trusted`: enough units set the scale for the false alarms to be promised.

    Raises RefusedError where units are missing, InfeasibleError where both bounds cannot hold.
    """
    if not len(scores.all_normal):
        raise RefusedError("no normal units are left for the threshold; at least 2 are needed")
    if goal.method == "f1":
        return _measured(scores, best_f1(scores.normal, scores.anomalous), wish)
    if goal.method == "manual":
        return _measured(scores, float(np.float32(goal.value)), wish)
    threshold = set_threshold(scores.normal, wish)
    if not trusted:
        threshold = replace(threshold, guarantee=None)
    if goal.method == "order-statistic":
        return Choice(threshold)
    met = meet_both(scores.normal, scores.anomalous, threshold, wish, goal.value)
    promise = RecallGuarantee(recall=goal.value, confidence=wish.confidence) if met.carried else None
    both = promise is not None and threshold.guarantee is not None
    return Choice(met.threshold, promise, met.interval if both else None)


def _measured(scores: UnitScores, value: float, wish: ThresholdTarget) -> Choice:
    """Nothing is promised of such a threshold; what it does is measured on units that had no say in it."""
    band = set_threshold(scores.normal if len(scores.normal) else scores.check_normal, wish).uncertain_above
    above = int((scores.all_normal > value).sum())
    return Choice(
        Threshold(value, min(band, value), above, None),
        measured=measure(scores.check_normal, scores.check_anomalous, value, wish.confidence),
    )
