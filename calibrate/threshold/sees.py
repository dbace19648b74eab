"""What a threshold finds of defects painted on normal units that had no say in it, and of real ones where given.

Each unit carries one defect of each size; the kinds take turns, so that no row counts a unit twice and every
interval is an exact binomial one. A painted defect is no real one: a profile that finds none of them is blind, one
that finds all has shown only that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from calibrate.datasets.sample import Sample
from calibrate.datasets.units import unit_order
from calibrate.defects.on_images import EVALUATION_KINDS, DefectRequest, Item
from calibrate.inference import ItemTerms, Scored, View
from calibrate.statistics.intervals import measured_rate
from calibrate.threshold.common_rule import NAME, CommonRule
from fbclip.artefacts.sees import ComparedRule, DefectSize, FoundShare, Sees
from fbclip.decision import Statistic, combined_statistic
from fbclip.memory.fusion import fused_prediction

AREAS: dict[DefectSize, tuple[float, float]] = {
    "small": (0.0005, 0.002),
    "medium": (0.002, 0.01),
    "large": (0.01, 0.1),
}
"""Area of the painted mask in parts of the object's."""
MAX_UNITS = 30
"""More would take longer than they tell: 30 of 30 show 88 % at 95 % confidence."""
PAINTED_MOST = MAX_UNITS * len(AREAS)
_SEED = 7919
"""Other defects than those that a fusion was chosen on."""
LOWEST, ROUNDING = -1e30, 1e-6
MAX_KEPT = 1000
"""Units of a row whose z a profile keeps; of more it keeps none."""


@dataclass(frozen=True)
class ZRule:
    """Where z lies for a prediction, and from where it alarms; compared: another rule, for comparison."""

    statistic: Statistic
    min_area: int
    threshold: float
    compared: CommonRule | None = None


@dataclass(frozen=True)
class _Painting:
    """One defect on one unit."""

    size: DefectSize
    kind: str
    item: Item


def measure_sees(
    view: View,
    held_out: Sequence[Sample],
    rule: ZRule,
    real: Iterable[Scored],
    confidence: float,
    advance: Callable[[int], None] = lambda _: None,
) -> Sees:
    """`held_out`: normal samples that did not set the threshold. `real`: anomalous ones that did not either."""
    paintings = plan_paintings(held_out)
    found: dict[str, list[float]] = defaultdict(list)
    terms = view.terms((one.item for one in paintings), advance)
    for painting, one in zip(paintings, terms, strict=True):
        # One that cannot be painted, or lies under the mask, shows nothing.
        if not isinstance(one, ItemTerms):
            continue
        prediction = fused_prediction(one.terms, view.fusion)
        z = combined_statistic(prediction, rule.statistic, rule.min_area, one.framed.framed.ignore)
        found[painting.size].append(z)
        found[painting.kind].append(z)
    anomalous = list(_unit_z(real, rule).values())
    return Sees(
        confidence=confidence,
        sizes=tuple(_row(size, found[size], rule.threshold, confidence) for size in AREAS),
        kinds=tuple(_row(kind, found[kind], rule.threshold, confidence) for kind in EVALUATION_KINDS),
        real=_row("real", anomalous, rule.threshold, confidence) if anomalous else None,
        rule=None if rule.compared is None else _compared(rule.compared, found, anomalous, confidence),
    )


def plan_paintings(held_out: Sequence[Sample]) -> list[_Painting]:
    """One image a unit, at most MAX_UNITS of them, with one defect of each size; the same ones every time."""
    first = {s.unit: s for s in reversed(held_out)}
    units = unit_order(held_out)[:MAX_UNITS]
    paintings = []
    for number, unit in enumerate(units):
        for turn, (size, areas) in enumerate(AREAS.items()):
            kind = EVALUATION_KINDS[(number + turn) % len(EVALUATION_KINDS)]
            seed = (int(first[unit].sha256[:8], 16), _SEED, turn)
            paintings.append(_Painting(size, kind, Item(first[unit], DefectRequest((kind,), seed, areas))))
    return paintings


def _unit_z(real: Iterable[Scored], rule: ZRule) -> dict[str, float]:
    """The largest z of a unit's images; a unit of which picture health rejects every image gets no verdict."""
    best: dict[str, float] = {}
    for one in real:
        z = combined_statistic(one.prediction, rule.statistic, rule.min_area, one.ignore)
        judged = z if one.fault is None else float("-inf")
        best[one.sample.unit] = max(judged, best.get(one.sample.unit, judged))
    return best


def _compared(
    rule: CommonRule, found: Mapping[str, Sequence[float]], anomalous: Sequence[float], confidence: float
) -> ComparedRule:
    return ComparedRule(
        name=NAME,
        threshold=rule.threshold,
        alarms=_share("normal", rule.above, rule.total, confidence),
        sizes=tuple(_counted(size, found[size], rule.threshold, confidence) for size in AREAS),
        real=_counted("real", anomalous, rule.threshold, confidence) if anomalous else None,
    )


def _counted(what: str, z: Sequence[float], threshold: float, confidence: float) -> FoundShare:
    return _share(what, sum(value > threshold for value in z), len(z), confidence)


def _row(what: str, z: Sequence[float], threshold: float, confidence: float) -> FoundShare:
    row = _counted(what, z, threshold, confidence)
    # What no threshold finds is stored as a number that JSON has.
    kept = sorted(round(max(float(value), LOWEST), 6) for value in z) if len(z) <= MAX_KEPT else []
    return row.model_copy(update={"z": tuple(kept)})


def sees_at(sees: Sees, threshold: float) -> Sees:
    """The same units at another threshold.

    A row whose z is not kept says nothing then: 0 of 0, so that it never shows more than is known.
    """
    return Sees(
        confidence=sees.confidence,
        sizes=tuple(_row_at(row, threshold, sees.confidence) for row in sees.sizes),
        kinds=tuple(_row_at(row, threshold, sees.confidence) for row in sees.kinds),
        real=None if sees.real is None else _row_at(sees.real, threshold, sees.confidence),
        rule=sees.rule,
    )


def _row_at(row: FoundShare, threshold: float, confidence: float) -> FoundShare:
    # Rounding must not make one that is missed a found one.
    found = sum(value > threshold + ROUNDING for value in row.z)
    return _share(row.what, found, len(row.z), confidence).model_copy(update={"z": row.z})


def _share(what: str, found: int, total: int, confidence: float) -> FoundShare:
    rate = measured_rate(found, total, confidence)
    low, high = rate.interval or (0.0, 1.0)
    return FoundShare(what=what, found=rate.count, total=rate.total, low=low, high=high)
