"""What a threshold finds of defects painted on normal units that had no say in it, and of real ones where given.

Each unit carries one defect of each size; the kinds take turns, so that no row counts a unit twice and every
interval is an exact binomial one. A painted defect is no real one: a profile that finds none of them is blind, one
that finds all has shown only that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from calibrate.datasets.sample import Sample
from calibrate.datasets.units import unit_order
from calibrate.defects.on_images import EVALUATION_KINDS, DefectRequest, Item
from calibrate.inference import ItemTerms, Scored, View
from calibrate.statistics.intervals import measured_rate
from fbclip.artefacts.sees import DefectSize, FoundShare, Sees
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


@dataclass(frozen=True)
class ZRule:
    """Where z lies for a prediction, and from where it alarms."""

    statistic: Statistic
    min_area: int
    threshold: float


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
    found: dict[str, list[bool]] = defaultdict(list)
    terms = view.terms((one.item for one in paintings), advance)
    for painting, one in zip(paintings, terms, strict=True):
        # One that cannot be painted, or lies under the mask, shows nothing.
        if not isinstance(one, ItemTerms):
            continue
        prediction = fused_prediction(one.terms, view.fusion)
        z = combined_statistic(prediction, rule.statistic, rule.min_area, one.framed.framed.ignore)
        found[painting.size].append(z > rule.threshold)
        found[painting.kind].append(z > rule.threshold)
    alarms = dict(_unit_alarms(real, rule))
    return Sees(
        confidence=confidence,
        sizes=tuple(_row(size, found[size], confidence) for size in AREAS),
        kinds=tuple(_row(kind, found[kind], confidence) for kind in EVALUATION_KINDS),
        real=_row("real", list(alarms.values()), confidence) if alarms else None,
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


def _unit_alarms(real: Iterable[Scored], rule: ZRule) -> Iterator[tuple[str, bool]]:
    """A unit alarms when any of its images does."""
    alarms: dict[str, bool] = {}
    for one in real:
        z = combined_statistic(one.prediction, rule.statistic, rule.min_area, one.ignore)
        # One that picture health rejects gets no verdict.
        alarms[one.sample.unit] = alarms.get(one.sample.unit, False) or (one.fault is None and z > rule.threshold)
    yield from alarms.items()


def _row(what: str, found: Sequence[bool], confidence: float) -> FoundShare:
    rate = measured_rate(sum(found), len(found), confidence)
    low, high = rate.interval or (0.0, 1.0)
    return FoundShare(what=what, found=rate.count, total=rate.total, low=low, high=high)
