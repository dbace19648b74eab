"""Verdicts at the profile's threshold, counted in units and in images, with exact intervals. Pure.

Only units (parts, files, volumes) are independent, so rates and their intervals are of units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from calibrate.evaluation.rows import EvaluatedImage
from calibrate.statistics.binomial import rate_between

CONFIDENCE = 0.95
SEVERITY = ("anomaly", "uncertain", "rejected", "ok")
"""The verdict on a unit is the first of these that one of its images has."""
_ORDER = ("ok", "uncertain", "anomaly", "rejected")
UNNAMED = "unnamed"

Counts = dict[str, int]


@dataclass(frozen=True)
class Rate:
    """`count` of `total`; low..high is Clopper and Pearson's 95 % interval; None for 0 of 0."""

    count: int
    total: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Confusion:
    """units and images: normal or anomalous -> verdict -> how many. Rejected ones count in both totals.

    false_alarm_rate: normal units with an anomaly; recall: anomalous units with one.
    """

    units: dict[str, Counts]
    pictures: dict[str, Counts]
    false_alarm_rate: Rate
    recall: Rate

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "confidence": CONFIDENCE}


@dataclass(frozen=True)
class _Unit:
    class_name: str
    label: bool
    kind: str
    verdict: str


def confusion(rows: Sequence[EvaluatedImage]) -> Confusion | None:
    """None where no profile gave verdicts."""
    units = _units(rows)
    if not units:
        return None
    by_unit = _table((u.label, u.verdict) for u in units)
    return Confusion(
        by_unit,
        _table((row.label, row.verdict) for row in rows if row.verdict is not None),
        rate(by_unit["good"]["anomaly"], sum(by_unit["good"].values())),
        rate(by_unit["defective"]["anomaly"], sum(by_unit["defective"].values())),
    )


def kinds(rows: Sequence[EvaluatedImage]) -> dict[str, dict[str, Counts]]:
    """class -> defect kind -> units and how many of them got which verdict; empty without a profile."""
    out: dict[str, dict[str, Counts]] = {}
    for unit in _units(rows):
        if unit.label:
            counts = out.setdefault(unit.class_name, {}).setdefault(unit.kind, {"units": 0, **_zeros()})
            counts["units"] += 1
            counts[unit.verdict] += 1
    return out


def rate(count: int, total: int) -> Rate:
    """With its interval; nothing is known of the rate of 0 of 0."""
    if not total:
        return Rate(count, total, None, None, None)
    low, high = rate_between(count, total, CONFIDENCE)
    return Rate(count, total, count / total, low, high)


def _units(rows: Iterable[EvaluatedImage]) -> list[_Unit]:
    groups: dict[tuple[str, str], list[tuple[EvaluatedImage, str]]] = {}
    for row in rows:
        if row.verdict is not None:
            groups.setdefault((row.class_name, row.unit), []).append((row, row.verdict))
    units = []
    for (class_name, _), members in groups.items():
        anomalous = [row for row, _ in members if row.label]
        verdict = min((verdict for _, verdict in members), key=SEVERITY.index)
        units.append(_Unit(class_name, bool(anomalous), (anomalous[0].kind if anomalous else None) or UNNAMED, verdict))
    return units


def _table(pairs: Iterable[tuple[bool, str]]) -> dict[str, Counts]:
    found = Counter(pairs)
    return {
        name: {verdict: found[label, verdict] for verdict in _ORDER}
        for name, label in (("good", False), ("defective", True))
    }


def _zeros() -> Counts:
    return dict.fromkeys(_ORDER, 0)
