"""How many units do what: which set the scale of z, which set the threshold, which only measure it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calibrate.datasets.leakage import check_disjoint
from calibrate.datasets.sample import Sample
from calibrate.datasets.units import split_units
from calibrate.errors import RefusedError
from calibrate.statistics.intervals import required_units, supported_alpha
from calibrate.threshold.request import ThresholdRequest, ThresholdTarget

MIN_CONSTANT_UNITS, MAX_CONSTANT_UNITS = 10, 100


@dataclass(frozen=True)
class ThresholdSplit:
    """Images by what they do: set the scale of z, set the threshold, or measure what it does. No unit does two."""

    scale: list[Sample]
    normal: list[Sample]
    anomalous: list[Sample]
    check_normal: list[Sample]
    check_anomalous: list[Sample]


def split_line(request: ThresholdRequest) -> ThresholdSplit:
    """Parts that share no unit and no image's bytes.

    The scale comes first; of the rest `f1` chooses with one half and measures with the other, `manual` only measures,
    and the bounds take all. Raises RefusedError as `check_counts` does, DataError naming the first image or unit that
    two parts share.
    """
    check_counts(request)
    data, method = request.data, request.goal.method
    scale, normal = split_units(data.normal, constant_units(data.normal_units, request.target))
    anomalous: list[Sample] = list(data.anomalous)
    check_normal: list[Sample] = []
    check_anomalous: list[Sample] = []
    if method == "f1":
        normal, check_normal = _halves(normal, "normal")
        anomalous, check_anomalous = _halves(anomalous, "anomalous")
    elif method == "manual":
        normal, check_normal = [], normal
        anomalous, check_anomalous = [], anomalous
    check_disjoint(
        {
            "the scale's normal images": scale,
            "the threshold's normal images": normal,
            "the anomalous images": anomalous,
            "the measured normal images": check_normal,
            "the measured anomalous images": check_anomalous,
        }
    )
    return ThresholdSplit(scale, normal, anomalous, check_normal, check_anomalous)


def check_counts(request: ThresholdRequest) -> None:
    """Raises RefusedError when there are too few units for a guarantee that was asked for and is not waived."""
    if request.best_effort or not request.goal.promises:
        return
    check_enough_normal(request.data.normal_units, request.target)
    if request.goal.method == "recall":
        check_enough_anomalous(request.data.anomalous_units, request.goal.value, request.target.confidence)


def needed_units(target: ThresholdTarget) -> int:
    """Normal units that a target takes: those of the order statistic and the fewest that can set the scale."""
    return required_units(target.alpha, target.confidence) + MIN_CONSTANT_UNITS


def constant_units(n: int, target: ThresholdTarget) -> int:
    """How many of n units to spend on the constants of z: a fifth, but not those that the guarantee needs.

    Where n is too small for the target, at most half.
    """
    wanted = min(max(n // 5, MIN_CONSTANT_UNITS), MAX_CONSTANT_UNITS)
    if n >= needed_units(target):
        return min(wanted, n - required_units(target.alpha, target.confidence))
    return min(wanted, n // 2)


def check_enough_normal(n: int, target: ThresholdTarget) -> None:
    """Raises RefusedError when n normal units cannot carry the target, saying how many can and what n carry."""
    if n >= needed_units(target):
        return
    usable = n - constant_units(n, target)
    carried = f"{supported_alpha(usable, target.confidence):.1%}" if usable else "nothing"
    raise RefusedError(
        f"{n} normal units cannot carry a false-alarm rate of {target.alpha:.2%} at {target.confidence:.0%} "
        f"confidence: {needed_units(target)} are needed ({MIN_CONSTANT_UNITS} of them for the statistic); these carry "
        f"{carried}. Collect more, ask for less, or use --best-effort for a profile without a guarantee"
    )


def check_enough_anomalous(n: int, recall: float, confidence: float) -> None:
    """Raises RefusedError when n anomalous units cannot carry the recall, saying how many can and what n carry."""
    needed = required_units(1 - recall, confidence)
    if n >= needed:
        return
    raise RefusedError(
        f"{n} anomalous units cannot carry a recall of {recall:.1%} at {confidence:.0%} confidence: {needed} are "
        f"needed; these carry {1 - supported_alpha(n, confidence):.1%}, with every one of them found. "
        "Collect more, ask for less, or use --best-effort for a profile without this guarantee"
    )


def _halves(samples: Sequence[Sample], kind: str) -> tuple[list[Sample], list[Sample]]:
    units = len({s.unit for s in samples})
    if units < 2:
        raise RefusedError(
            f"--f1 chooses with one half of the {kind} units and measures with the other; there are {units}"
        )
    return split_units(samples, units // 2)
