"""What a profile finds, as tables: defects painted on normal units, and its threshold beside a rule in common use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from calibrate.evaluation.document import EvaluatedProfile
from calibrate.evaluation.evaluated_images import EvaluatedImage
from calibrate.statistics.intervals import Rate, measured_rate
from fbclip.artefacts.sees import FoundShare, Sees


@dataclass(frozen=True)
class SightRow:
    """A size or kind of defect, and how many units with one are found."""

    name: str
    rate: Rate


@dataclass(frozen=True)
class RuleRow:
    """A threshold, and what it does.

    setting: alarms among the normal units that set it; normal, anomalous: alarms among the units of this run;
    painted: by size.
    """

    name: str
    threshold: float
    setting: Rate
    normal: Rate
    anomalous: Rate
    painted: tuple[SightRow, ...]


def sight_rows(sees: Sees) -> list[SightRow]:
    """Sizes, kinds and real defects, without rows of no unit."""
    rows = [SightRow(f"{row.what} painted", _rate(row)) for row in reversed(sees.sizes)]
    rows += [SightRow(f"painted like {row.what.replace('_', ' ')}", _rate(row)) for row in sees.kinds]
    if sees.real is not None:
        rows.append(SightRow("real ones at hand", _rate(sees.real)))
    return [row for row in rows if row.rate.total]


def rule_rows(profile: EvaluatedProfile | None, images: Iterable[EvaluatedImage]) -> list[RuleRow]:
    """The profile's threshold and the common rule's on the same units; empty where the rule sets none."""
    if profile is None or profile.sees is None or profile.sees.rule is None:
        return []
    sees, rule, c = profile.sees, profile.sees.rule, profile.calibration
    units = _unit_z(images)
    own = measured_rate(c.exceedances, c.n_good) if c.n_good else Rate(0, 0, None, None, None)
    return [
        RuleRow("this profile", profile.threshold, own, *_alarms(units, profile.threshold), _painted(sees.sizes)),
        RuleRow(rule.name, rule.threshold, _rate(rule.alarms), *_alarms(units, rule.threshold), _painted(rule.sizes)),
    ]


def _painted(rows: Iterable[FoundShare]) -> tuple[SightRow, ...]:
    return tuple(SightRow(row.what, _rate(row)) for row in rows)


def _rate(row: FoundShare) -> Rate:
    if not row.total:
        return Rate(0, 0, None, None, None)
    return Rate(row.found, row.total, row.found / row.total, row.low, row.high)


def _unit_z(images: Iterable[EvaluatedImage]) -> dict[tuple[str, str], tuple[bool, float]]:
    """Unit -> whether it is anomalous, and the largest z of its images; one without any z alarms nowhere."""
    units: dict[tuple[str, str], tuple[bool, float]] = {}
    for image in images:
        key = image.class_name, image.unit
        anomalous, z = units.get(key, (False, float("-inf")))
        units[key] = anomalous or image.anomalous, z if image.z is None else max(z, image.z)
    return units


def _alarms(units: dict[tuple[str, str], tuple[bool, float]], threshold: float) -> tuple[Rate, Rate]:
    """(of the normal units, of the anomalous ones)."""
    normal, anomalous = ([z > threshold for of, z in units.values() if of is label] for label in (False, True))
    return measured_rate(sum(normal), len(normal)), measured_rate(sum(anomalous), len(anomalous))
