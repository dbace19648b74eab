"""Normal units -> statistic, threshold and what they guarantee.

The constants of z come from a split of their own; then one order statistic of the remaining units bounds
everything that alerts. Counting, splitting and refusing happen here; the verdict code is the detector's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibrate.errors import RefusedError
from calibrate.statistics.binomial import allowed_exceedances, required_units, supported_alpha
from fbclip.artefacts.profile import Guarantee
from fbclip.decision import Statistic

MIN_CONSTANT_UNITS, MAX_CONSTANT_UNITS = 10, 100
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
BAND = 5
"""The wider of two false-alarm rates, that of `uncertain`, is so many times the narrower one of `anomaly`."""
MAX_REFERENCE = 1000


@dataclass(frozen=True)
class ThresholdTarget:
    """False-alarm rate per unit at most `alpha`, with `confidence`; the uncertain band starts at `uncertain`.

    bounds: the mildest verdict that counts as an alarm. With "uncertain", `alpha` bounds P(z > uncertain_above) and
    `uncertain` is not used.
    """

    alpha: float
    confidence: float
    uncertain: float
    bounds: Literal["anomaly", "uncertain"] = "anomaly"

    def __post_init__(self) -> None:
        for name, value in (("false-alarm", self.alpha), ("confidence", self.confidence)):
            if not 0 < value < 1:
                raise RefusedError(f"--{name} must lie between 0 and 1, got {value}")
        if not self.alpha <= self.uncertain < 1:
            raise RefusedError(f"--uncertain must lie between --false-alarm and 1, got {self.uncertain}")


@dataclass(frozen=True)
class Threshold:
    """`value` and `uncertain_above` in z; exceedances: normal units that may lie above `value`."""

    value: float
    uncertain_above: float
    exceedances: int
    guarantee: Guarantee | None

    def alarm_from(self, wish: ThresholdTarget) -> float:
        """The z that the false-alarm rate is bounded at."""
        return self.value if wish.bounds == "anomaly" else self.uncertain_above


def needed_units(wish: ThresholdTarget) -> int:
    """Normal units that the wish takes: those of the order statistic and the fewest that can set the scale."""
    return required_units(wish.alpha, wish.confidence) + MIN_CONSTANT_UNITS


def constant_units(n: int, wish: ThresholdTarget) -> int:
    """How many of n units to spend on the constants: a fifth, but not those that the guarantee needs.

    Where n is too small for the wish, at most half.
    """
    wanted = min(max(n // 5, MIN_CONSTANT_UNITS), MAX_CONSTANT_UNITS)
    if n >= needed_units(wish):
        return min(wanted, n - required_units(wish.alpha, wish.confidence))
    return min(wanted, n // 2)


def check_enough(n: int, wish: ThresholdTarget) -> None:
    """Raises RefusedError when n units cannot carry the wish, saying how many can and what n carries."""
    if n >= needed_units(wish):
        return
    usable = n - constant_units(n, wish)
    carries = f"{supported_alpha(usable, wish.confidence):.1%}" if usable else "nothing"
    raise RefusedError(
        f"{n} normal units cannot carry a false-alarm rate of {wish.alpha:.2%} at {wish.confidence:.0%} confidence: "
        f"{needed_units(wish)} are needed ({MIN_CONSTANT_UNITS} of them for the statistic); these carry {carries}. "
        "Collect more, ask for less, or use --best-effort for a profile without a guarantee"
    )


def _location_scale(values: NDArray[np.float64]) -> tuple[float, float]:
    """Median, and the distance from it to the 90 % quantile: only the upper tail can alarm."""
    centre = float(np.median(values))
    spread = float(np.quantile(values, 0.9)) - centre
    # Equal values have no spread; a floor relative to their size keeps z finite.
    return centre, max(spread, 1e-3 * max(1.0, abs(centre)))


def fit_statistic(image: NDArray[np.float64], pixel: NDArray[np.float64], pixel_only: bool) -> Statistic:
    """Put margins (n,) and region levels M (n,) of the split kept for it on one scale."""
    a, b = _location_scale(image)
    a2, b2 = _location_scale(pixel)
    return Statistic(a=a, b=b, a2=a2, b2=b2, use="pixel" if pixel_only else "both")


def set_threshold(z: NDArray[np.float64], wish: ThresholdTarget) -> Threshold:
    """z of n independent normal units -> the lowest threshold that the wish allows.

    With too few units it is their maximum, and no guarantee is stated.
    """
    if not len(z):
        raise RefusedError("no normal units are left for the threshold; at least 2 are needed")
    ordered = np.sort(z)[::-1]
    k = allowed_exceedances(len(z), wish.alpha, wish.confidence)
    guarantee = None
    if k is not None:
        guarantee = Guarantee(false_alarm_rate=wish.alpha, confidence=wish.confidence)
    k = k or 0
    if wish.bounds == "uncertain":
        fewer = allowed_exceedances(len(z), wish.alpha / BAND, wish.confidence) or 0
        return Threshold(float(ordered[fewer]), float(ordered[k]), fewer, guarantee)
    loose = allowed_exceedances(len(z), wish.uncertain, wish.confidence) or 0
    return Threshold(float(ordered[k]), float(ordered[max(loose, k)]), k, guarantee)


def quantiles(z: NDArray[np.float64]) -> dict[str, float]:
    """z at fixed shares, for the reader and for drift."""
    return {f"{q:g}": round(float(np.quantile(z, q)), 6) for q in QUANTILES}


def reference(z: NDArray[np.float64]) -> tuple[float, ...]:
    """z of the units, rising, in float32 rounded to 6 digits; of more than MAX_REFERENCE every so-manieth stays.

    The lowest and the highest always stay.
    """
    ordered = np.sort(z).astype(np.float32)
    if len(ordered) > MAX_REFERENCE:
        ordered = ordered[np.linspace(0, len(ordered) - 1, MAX_REFERENCE).round().astype(int)]
    return tuple(round(float(v), 6) for v in ordered)
