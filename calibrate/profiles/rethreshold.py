"""A profile at another threshold, with what can still be promised of it. Pure.

A profile keeps z of its normal units only rounded and, of many, only some; every count here is the largest that these
leave open, so a bound may be wider than one from all scores, never narrower.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from calibrate.errors import RefusedError
from calibrate.statistics.intervals import rate_at_most
from calibrate.threshold.calibration_record import reference_places
from calibrate.threshold.sees import ROUNDING, sees_at
from calibrate.threshold.split import MIN_CONSTANT_UNITS
from fbclip.artefacts.profile import Calibration, Guarantee, Profile
from fbclip.artefacts.sees import Sees

DIGITS = 4
"""Of a recomputed rate, which is rounded up."""


@dataclass(frozen=True)
class Rethreshold:
    """`profile` with the other threshold; `basis`: one line each on what its promises rest on, or why there is none."""

    profile: Profile
    basis: tuple[str, ...]


def at_threshold(profile: Profile, value: float) -> Rethreshold:
    """The profile with the threshold `value` in z, taken as float32; raises RefusedError for what is no such number.

    False alarms: Clopper and Pearson's upper limit of the exceedances of the normal units, or the rate that was
    promised where that threshold is not left downwards. Recall: z of anomalous units is not kept, so its promise stays
    as far as it is known to hold, and ends there.
    """
    if not (math.isfinite(value) and abs(value) < 1e30):
        raise RefusedError(f"the threshold must be a finite z, got {value}")
    value = float(np.float32(value))
    c = profile.calibration
    uncertain = None if profile.uncertain_above is None else min(profile.uncertain_above, value)
    if c.interval is not None and c.interval[0] <= value <= c.interval[1]:
        changes: dict[str, object] = {"exceedances": most_above(c, value)}
        basis = [f"both promises hold from z = {c.interval[0]:.4f} to {c.interval[1]:.4f}, so they stay"]
    else:
        bounded_at = value if c.bounds == "anomaly" or uncertain is None else uncertain
        guarantee, why = _false_alarms(profile, bounded_at)
        recall, kept = _recall(profile, value)
        basis = [why, *kept]
        changes = {
            "exceedances": most_above(c, value),
            "guarantee": guarantee,
            "recall_guarantee": c.recall_guarantee if recall else None,
            "interval": None,
            "measured": None,
        }
        if c.measured is not None:
            basis.append("the rates that were measured belong to the old threshold and are dropped")
    calibration = c.model_copy(update={"method": "manual", **changes})
    sees = None if profile.sees is None else sees_at(profile.sees, value)
    values = {"threshold": value, "uncertain_above": uncertain, "calibration": calibration, "sees": sees}
    basis += _sees_text(sees)
    return Rethreshold(profile.model_copy(update=values), tuple(basis))


def _sees_text(sees: Sees | None) -> list[str]:
    if sees is None or sees.large is None:
        return []
    row = sees.large
    if not row.total:
        return ["BLIND: z of the painted defects was not kept, so nothing shows what this threshold finds"]
    verdict = "BLIND: " if sees.blind else ""
    return [f"{verdict}it finds {row.found} of {row.total} large painted defects"]


def most_above(c: Calibration, value: float) -> int:
    """The most of the n_good normal units that can lie above `value`, by what the profile keeps of their z."""
    return min((above for z, above in _kept(c) if z + ROUNDING <= value), default=c.n_good)


def _kept(c: Calibration) -> Iterator[tuple[float, int]]:
    """(z, the most units above it) of every kept score; without a reference, of early profiles, of the quantiles."""
    n = c.n_good
    places = reference_places(n)
    if c.reference and len(places) == len(c.reference):
        yield from ((z, n - 1 - int(place)) for z, place in zip(c.reference, places, strict=True))
        return
    # A quantile lies between two of the scores, or on one: never below the lower.
    yield from ((z, n - 1 - math.floor(float(q) * (n - 1) + 1e-9)) for q, z in c.quantiles.items() if n)


def _false_alarms(profile: Profile, value: float) -> tuple[Guarantee | None, str]:
    c = profile.calibration
    if c.n_constants < MIN_CONSTANT_UNITS:
        return None, f"only {c.n_constants} units set the scale of z, {MIN_CONSTANT_UNITS} are needed for a promise"
    above = most_above(c, value)
    rate = _up(rate_at_most(above, c.counted_units, c.confidence))
    given = c.guarantee
    if given is not None and value >= _holds_from(profile) and given.false_alarm_rate <= rate:
        return given, "the promise on false alarms holds at every higher threshold, so it stays"
    if rate >= 1:
        return None, "every normal unit may lie above it, so nothing bounds the false alarms"
    at_most = "at most " if c.n_good > len(c.reference) else ""
    why = f"{at_most}{above} of {c.n_good} normal units lie above it; valid if it was not picked by their scores"
    return Guarantee(false_alarm_rate=rate, confidence=c.confidence), why


def _holds_from(profile: Profile) -> float:
    """The lowest z at which the promise on false alarms is known to hold."""
    if profile.calibration.interval is not None:
        return profile.calibration.interval[0]
    if profile.calibration.bounds == "uncertain" and profile.uncertain_above is not None:
        return profile.uncertain_above
    return profile.threshold


def _recall(profile: Profile, value: float) -> tuple[bool, list[str]]:
    """Whether the promise on recall stays: at every lower threshold more units alarm."""
    c = profile.calibration
    if c.recall_guarantee is None:
        return False, []
    highest = profile.threshold if c.interval is None else c.interval[1]
    if value <= highest:
        return True, ["the promise on recall holds at every lower threshold, so it stays"]
    return False, [f"the promise on recall holds up to z = {highest:.4f} only, so there is none"]


def _up(rate: float) -> float:
    """Rounded up to DIGITS, so that what is read is never less than what was shown."""
    if rate <= 0 or rate >= 1:
        return rate
    unit = 10.0 ** (math.floor(math.log10(rate)) + 1 - DIGITS)
    return min(1.0, float(f"{math.ceil(rate / unit) * unit:.12g}"))
