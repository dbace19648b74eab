"""Verdicts at the profile's threshold, counted in units and in images, with exact intervals. Pure.

Only units (parts, files, volumes) are independent, so rates and their intervals are of units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from calibrate.evaluation.document import Confusion, KindCounts, LabelCounts, RejectedImages, VerdictCounts
from calibrate.evaluation.evaluated_images import EvaluatedImage
from calibrate.statistics.intervals import measured_rate
from fbclip.decision import Verdict

SEVERITY = (Verdict.ANOMALY, Verdict.UNCERTAIN, Verdict.REJECTED, Verdict.OK)
"""The verdict on a unit is the first of these that one of its images has."""
UNNAMED = "unnamed"


@dataclass(frozen=True)
class _Unit:
    class_name: str
    anomalous: bool
    kind: str
    verdict: Verdict


def confusion(images: Sequence[EvaluatedImage]) -> Confusion | None:
    """None where no profile gave verdicts."""
    units = _units(images)
    if not units:
        return None
    by_unit = _by_label((u.anomalous, u.verdict) for u in units)
    normal, anomalous = by_unit.normal, by_unit.anomalous
    return Confusion(
        units=by_unit,
        images=_by_label((i.anomalous, i.verdict) for i in images if i.verdict is not None),
        false_alarm_rate=measured_rate(normal.anomaly, normal.total),
        recall=measured_rate(anomalous.anomaly, anomalous.total),
    )


def kinds(images: Sequence[EvaluatedImage]) -> dict[str, dict[str, KindCounts]]:
    """class -> kind of defect -> verdicts on its units; empty without a profile."""
    counts: dict[str, dict[str, Counter[str]]] = {}
    for unit in _units(images):
        if unit.anomalous:
            counts.setdefault(unit.class_name, {}).setdefault(unit.kind, Counter())[unit.verdict.value] += 1
    return {
        name: {kind: KindCounts.model_validate(verdicts) for kind, verdicts in of_class.items()}
        for name, of_class in counts.items()
    }


def rejected(images: Iterable[EvaluatedImage]) -> RejectedImages:
    """Why images got no verdict; a defect among them would be looked for by nobody but a person."""
    counts: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}
    for image in images:
        if image.verdict is Verdict.REJECTED:
            counts[image.anomalous][image.reason or UNNAMED] += 1
    return RejectedImages(normal=dict(counts[False]), anomalous=dict(counts[True]))


def _units(images: Iterable[EvaluatedImage]) -> list[_Unit]:
    groups: dict[tuple[str, str], list[tuple[EvaluatedImage, Verdict]]] = {}
    for image in images:
        if image.verdict is not None:
            groups.setdefault((image.class_name, image.unit), []).append((image, image.verdict))
    units = []
    for (class_name, _), members in groups.items():
        anomalous = [image for image, _ in members if image.anomalous]
        verdict = min((verdict for _, verdict in members), key=SEVERITY.index)
        units.append(_Unit(class_name, bool(anomalous), (anomalous[0].kind if anomalous else None) or UNNAMED, verdict))
    return units


def _by_label(pairs: Iterable[tuple[bool, Verdict]]) -> LabelCounts:
    found = Counter(pairs)
    normal, anomalous = (
        VerdictCounts(**{verdict.value: found[label, verdict] for verdict in Verdict}) for label in (False, True)
    )
    return LabelCounts(normal=normal, anomalous=anomalous)
