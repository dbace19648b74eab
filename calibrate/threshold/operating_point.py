"""Where normal and anomalous units meet: one threshold for both bounds, the best F1, or a threshold that was given.

z are float32 numbers, one a unit, the largest of its images; a unit alarms when z lies strictly above the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibrate.errors import RefusedError
from calibrate.metrics.ranking import f1_max
from calibrate.statistics.binomial import (
    allowed_exceedances,
    rate_at_most,
    rate_between,
    required_units,
    supported_alpha,
)
from calibrate.threshold.order_statistic import Threshold, ThresholdTarget
from fbclip.artefacts.profile import MeasuredRates

Values = NDArray[np.float64]
CURVE_POINTS = 10


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold promises: false alarms of at most the one share, recall of at least the other.

    Each bound holds with the confidence asked for, as long as the point is not picked for what it shows.
    """

    threshold: float
    false_alarm_rate: float
    recall: float


@dataclass(frozen=True)
class Met:
    """interval: z from the one bound to the other; carried: whether the anomalous units suffice for the recall's."""

    threshold: Threshold
    interval: tuple[float, float]
    carried: bool


class InfeasibleError(RefusedError):
    """No threshold keeps both bounds; `curve` shows what is attainable, by falling threshold."""

    def __init__(self, message: str, curve: Sequence[OperatingPoint]) -> None:
        super().__init__(message)
        self.curve = tuple(curve)


def just_below(z: float) -> float:
    """The largest float32 below z: at this threshold z itself still alarms."""
    return float(np.nextafter(np.float32(z), np.float32("-inf")))


def middle(low: float, high: float) -> float:
    """The float32 in the middle of two, low <= middle <= high: both ends keep the same distance."""
    return float(np.float32((low + high) / 2))


def recall_limit(anomalous: Values, recall: float, confidence: float) -> tuple[float, bool]:
    """(largest threshold that leaves `recall` of the anomalous units, whether `confidence` stands behind it).

    With too few units it lies below all of them. Raises RefusedError without any.
    """
    if not len(anomalous):
        raise RefusedError("no anomalous units are left for --recall")
    k = allowed_exceedances(len(anomalous), 1 - recall, confidence)
    return just_below(np.sort(anomalous)[k or 0]), k is not None


def check_enough_defects(m: int, recall: float, confidence: float) -> None:
    """Raises RefusedError when m anomalous units cannot carry the recall, saying how many can and what m carry."""
    needed = required_units(1 - recall, confidence)
    if m >= needed:
        return
    raise RefusedError(
        f"{m} anomalous units cannot carry a recall of {recall:.1%} at {confidence:.0%} confidence: {needed} are "
        f"needed; these carry {1 - supported_alpha(m, confidence):.1%}, with every one of them found. "
        "Collect more, ask for less, or use --best-effort for a profile without this guarantee"
    )


def meet_both(normal: Values, anomalous: Values, base: Threshold, wish: ThresholdTarget, recall: float) -> Met:
    """The threshold that `set_threshold` found in `normal`, raised to the middle of what both bounds allow.

    The false-alarm bound holds from its order statistic upwards and the recall bound from its own downwards, each
    with the confidence of the wish; so both hold anywhere between, together with at least 2·confidence − 1, and the
    middle leaves a margin to either side. Raises InfeasibleError where the two cross, RefusedError without defects.
    """
    highest, carried = recall_limit(anomalous, recall, wish.confidence)
    lowest = base.alarm_from(wish)
    if lowest > highest:
        raise _infeasible(normal, anomalous, lowest, highest, wish, recall)
    value = middle(lowest, highest)
    above = int((normal > value).sum())
    return Met(replace(base, value=value, exceedances=above), (lowest, highest), carried)


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
    normal: Values, anomalous: Values, lowest: float, highest: float, wish: ThresholdTarget, recall: float
) -> InfeasibleError:
    with_false_alarm = 1 - rate_at_most(int((anomalous <= lowest).sum()), len(anomalous), wish.confidence)
    # The recall limit comes from anomalous units only, so the normal units' alarms at it are a plain count.
    with_recall = rate_at_most(int((normal > highest).sum()), len(normal), wish.confidence)
    message = (
        f"no threshold keeps a false-alarm rate of {wish.alpha:.2%} and a recall of {recall:.1%}: the first needs z >= "
        f"{lowest:.4f}, the second z <= {highest:.4f}. At {wish.confidence:.0%} confidence this false-alarm rate goes "
        f"with a recall of {with_false_alarm:.1%}, this recall with a false-alarm rate of {with_recall:.1%}. "
        "Ask for less of one, or tune the line's adapter"
    )
    return InfeasibleError(message, trade_off(normal, anomalous, wish.confidence))


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


def measure(normal: Values, anomalous: Values, threshold: float, confidence: float) -> MeasuredRates:
    """False-alarm rate and recall with their intervals; valid where these units had no say in the threshold."""
    alarms, misses = int((normal > threshold).sum()), int((anomalous <= threshold).sum())
    low, high = rate_between(alarms, len(normal), confidence)
    found_low, found_high = rate_between(len(anomalous) - misses, len(anomalous), confidence)
    return MeasuredRates(
        confidence=confidence,
        n_good=len(normal),
        false_alarms=alarms,
        false_alarm_low=low,
        false_alarm_high=high,
        n_bad=len(anomalous),
        misses=misses,
        recall_low=found_low,
        recall_high=found_high,
    )
