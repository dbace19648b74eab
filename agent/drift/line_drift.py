"""The watch of one line under one profile: what it has seen, as a frozen value, and one unit more. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from pydantic import AwareDatetime, Field

from agent.drift.e_process import ODDS, Floats, bet, bet_factors, evidence, rate_bound, shares
from fbclip.artefacts.drift_reference import DriftReference, drift_reference
from fbclip.artefacts.profile import Profile
from fbclip.frozen import Frozen

# The bet by which the beginning of a change is dated: the one on a clear change.
_DATED_BY = 1
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class DriftUnit:
    """One independent unit. values: by measure (z, sharpness, light, displacement); None where it has none.

    A unit without a value counts as one within the limits, which can only make an alarm rarer.
    """

    ts: datetime
    values: Mapping[str, float | None]
    anomaly: bool


class Episode(Frozen):
    """Since a moment at which the rate may have begun to lie above the bound; run: log evidence since then."""

    since: AwareDatetime
    units: Count = 0
    beyond: Count = 0
    anomalies: Count = 0
    run: float = Field(0.0, allow_inf_nan=False)


class TailDrift(Frozen):
    """One limit: what the bets have come to, the latest suspicious episode, and since when it is an alarm."""

    wealth: tuple[float, ...] = (0.0,) * len(ODDS)
    beyond: Count = 0
    episode: Episode | None = None
    found: AwareDatetime | None = None


class LineDrift(Frozen):
    """All of it. rate: the bound on each tail's rate; with another one the watch begins anew."""

    schema_: Literal["fbclip.drift/1"] = "fbclip.drift/1"
    rate: Annotated[float, Field(gt=0, lt=1)]
    units: Count = 0
    tails: dict[str, TailDrift]


@dataclass(frozen=True)
class DriftPlan:
    """What the watch of a profile tests: limits by tail (as `z_high`), the rate that none exceeds, and the e-value at
    which that is not believed any more. of_volumes: whether the reference knows volumes."""

    tails: Mapping[str, float]
    rate: float
    enough: float
    of_volumes: bool = False

    def begin(self) -> LineDrift:
        """Before the first unit."""
        return LineDrift(rate=self.rate, tails={name: TailDrift() for name in self.tails})

    def fits(self, state: LineDrift) -> bool:
        """Whether a stored state is one of this plan."""
        return state.rate == self.rate and set(state.tails) == set(self.tails)


def reference_of(profile: Profile) -> DriftReference | None:
    """What the profile's line is measured against.

    Of an earlier profile the scores alone, and those only where each unit had one image. None for too few units.
    """
    if profile.drift is not None:
        return profile.drift
    calibration = profile.calibration
    if calibration.unit != "file" or not calibration.reference:
        return None
    return drift_reference(np.array(calibration.reference), {}, calibration.counted_units)


def drift_plan(reference: DriftReference, false_alarm: float) -> DriftPlan:
    """`false_alarm`: of all tails together, over the life of the profile."""
    tails = reference.tails
    doubt, enough = shares(false_alarm, len(tails))
    return DriftPlan(tails, rate_bound(reference.beyond, reference.units, doubt), enough, reference.of_volumes)


def with_unit(state: LineDrift, plan: DriftPlan, unit: DriftUnit) -> LineDrift:
    """One unit more."""
    n = state.units + 1
    tails = {name: _with_unit(state.tails[name], plan, name, n, unit) for name in plan.tails}
    return state.model_copy(update={"units": n, "tails": tails})


def _with_unit(tail: TailDrift, plan: DriftPlan, name: str, n: int, unit: DriftUnit) -> TailDrift:
    beyond = _is_beyond(unit, name, plan.tails[name])
    factors = _factors(plan.rate)
    wealth = bet(np.array(tail.wealth), n, np.array(beyond), factors)
    found = tail.found
    if found is None and float(evidence(wealth, n)) >= plan.enough:
        found = unit.ts
    return TailDrift(
        wealth=tuple(map(float, wealth)),
        beyond=tail.beyond + beyond,
        episode=_longer(tail.episode, unit, beyond, math.log(factors[int(beyond), _DATED_BY]), found is not None),
        found=found,
    )


def _longer(before: Episode | None, unit: DriftUnit, beyond: bool, gain: float, found: bool) -> Episode | None:
    """A suspicion ends when nothing is left of it; one that became an alarm goes on being counted."""
    episode = before or Episode(since=unit.ts)
    run = episode.run + gain
    if run <= 0 and not found:
        return None
    return Episode(
        since=episode.since,
        units=episode.units + 1,
        beyond=episode.beyond + beyond,
        anomalies=episode.anomalies + unit.anomaly,
        run=max(run, -1e6),
    )


def _is_beyond(unit: DriftUnit, name: str, limit: float) -> bool:
    measure, _, side = name.rpartition("_")
    value = unit.values.get(measure)
    if value is None:
        return False
    # Both are float32 numbers, the limit in as few digits as name it: a value that equals it is not beyond it.
    one, other = np.float32(value), np.float32(limit)
    return bool(one > other if side == "high" else one < other)


@lru_cache(maxsize=256)
def _factors(rate: float) -> Floats:
    return bet_factors(rate)
