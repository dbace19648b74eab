"""How a line's normal units are shared out, and what can be claimed with so many: pure numbers and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calibrate.datasets.line_data import LineData
from calibrate.datasets.near_duplicates import NearDuplicates, merged
from calibrate.datasets.sample import Sample
from calibrate.datasets.units import split_units
from calibrate.errors import RefusedError
from calibrate.statistics.intervals import supported_alpha
from calibrate.threshold.request import ThresholdTarget
from calibrate.threshold.split import constant_units, needed_units
from calibrate.wording import percent, plural

MEMORY_UNITS = (10, 100)
"""A fifth of the normal units, within these: more of them would tell little, and the threshold needs units."""
HELD_OUT_MOST = 50


@dataclass(frozen=True)
class UnitShares:
    """Normal units: in the memory, for scale and threshold, and seen by nothing before the evaluation."""

    memory: int
    scale: int
    threshold: int
    held_out: int

    @property
    def total(self) -> int:
        return self.memory + self.scale + self.threshold + self.held_out


@dataclass(frozen=True)
class UnitPlan:
    """The images by what they do, and the shares in units. evaluated: labelled images that nothing else has seen."""

    shares: UnitShares
    memory: tuple[Sample, ...]
    threshold: tuple[Sample, ...]
    evaluated: tuple[Sample, ...]
    near: NearDuplicates
    target: ThresholdTarget
    promised: bool


def share_out(n: int, target: ThresholdTarget, tested_apart: bool) -> UnitShares:
    """n independent normal units. `tested_apart`: the data set has normal test images, so that none are held out.

    First the threshold gets what its promise takes, then the memory MEMORY_UNITS, then a tenth is held out. Where the
    promise is out of reach, a quarter goes to the memory, since an outlier stands out the less the fewer units set the
    limit, and nothing is held out. Raises RefusedError below 3 units.
    """
    if n < 3:
        raise RefusedError(f"{plural(n, 'normal unit')}: a memory and a threshold take at least 3")
    spare = n - needed_units(target)
    least, most = MEMORY_UNITS
    if spare < least:
        rest = n - min(most, max(1, n // 4))
        memory, held = n - rest, 0
    else:
        held = 0 if tested_apart else min(HELD_OUT_MOST, n // 10, max(0, spare - least))
        memory = min(most, max(least, n // 5), spare - held)
        rest = n - memory - held
    scale = constant_units(rest, target)
    return UnitShares(memory, scale, rest - scale, held)


def make_plan(
    chosen: LineData, tested: Sequence[Sample], near: NearDuplicates, target: ThresholdTarget, best_effort: bool
) -> UnitPlan:
    """`tested`: normal images of a test split. Near-duplicates stay together, so no part has seen another's unit.

    Raises RefusedError where the units are too few for the target, unless `best_effort`.
    """
    normal = merged(chosen.normal, near)
    n = len({s.unit for s in normal})
    shares = share_out(n, target, bool(tested))
    promised = shares.scale + shares.threshold >= needed_units(target)
    if not promised and not best_effort:
        raise RefusedError(too_few_text(n, near, target))
    memory, rest = split_units(normal, shares.memory)
    held, threshold = split_units(rest, shares.held_out)

    def as_read(part: Sequence[Sample]) -> tuple[Sample, ...]:
        units = {s.unit for s in part}
        return tuple(one for one, other in zip(chosen.normal, normal, strict=True) if other.unit in units)

    return UnitPlan(
        shares=shares,
        memory=as_read(memory),
        threshold=as_read(threshold),
        evaluated=(*as_read(held), *tested, *chosen.unused),
        near=near,
        target=target,
        promised=promised,
    )


def too_few_text(n: int, near: NearDuplicates, target: ThresholdTarget) -> str:
    """Why so many units are refused, what they carry, and what to do."""
    least = MEMORY_UNITS[0]
    left = n - least - constant_units(max(0, n - least), target)
    carried = percent(round(supported_alpha(left, target.confidence), 3)) if left > 0 else "nothing"
    alike = f" ({near.spare:,} more look the same as these)" if near.spare else ""
    return (
        f"{plural(n, 'normal unit')}{alike}; a false-alarm rate of {percent(target.alpha)} at "
        f"{percent(target.confidence)} confidence takes {needed_units(target) + least:,}, {least} of them for the "
        f"memory; these carry {carried}. Collect more, ask for less with --false-alarm, or use --best-effort for a "
        "profile without a guarantee"
    )


def plan_text(plan: UnitPlan) -> list[str]:
    """What is done with which units, and what can be said afterwards, a line each."""
    s, t = plan.shares, plan.target
    lines = [
        f"{plural(s.total, 'normal unit')}: {s.memory} for the memory, {s.scale} for the scale of z, {s.threshold} for "
        f"the threshold, {s.held_out} held out"
    ]
    if plan.near.spare:
        lines.append(f"{plan.near.spare:,} more units look the same as these and count with them")
    normal = len({u.unit for u in plan.evaluated if not u.label})
    anomalous = len({u.unit for u in plan.evaluated if u.label})
    if normal or anomalous:
        lines.append(f"evaluated on {plural(normal, 'normal unit')} and {plural(anomalous, 'anomalous unit')}")
    else:
        lines.append("evaluated on nothing: no unit is left over, and there are no anomalous images")
    if plan.promised:
        lines.append(
            f"can be claimed: with {percent(t.confidence)} confidence at most {percent(t.alpha)} of normal units "
            "alarm, if they are independent"
        )
    else:
        lines.append("cannot be claimed: any false-alarm rate; the threshold is a best effort")
    if anomalous:
        lines.append(f"recall is measured on {plural(anomalous, 'anomalous unit')}, not promised")
    else:
        lines.append("cannot be claimed: any recall; what is found of painted defects is measured")
    return lines
