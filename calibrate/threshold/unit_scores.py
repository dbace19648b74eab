"""A line's images -> the scale of z, and z of its units, by the code that the agent runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from calibrate.datasets.sample import Sample
from calibrate.errors import RefusedError
from calibrate.inference import Scored, Skips, View
from calibrate.statistics.scale import fit_statistic
from calibrate.threshold.split import ThresholdSplit
from fbclip.decision import Statistic, combined_statistic, highest_region

MAX_HIGHEST = 5
NEVER_ALARMS = float(np.finfo(np.float32).min)


@dataclass(frozen=True, eq=False)
class UnitMeasure:
    """How a line's images are judged, and z of the units that have been judged so far."""

    view: View
    min_area: int
    skips: Skips
    advance: Callable[[int], None]
    z_of_units: dict[str, float] = field(default_factory=dict)
    z_of_watched: dict[str, float] = field(default_factory=dict)

    def watched_z(self, split: ThresholdSplit) -> NDArray[np.float64]:
        """z of the first image, or worst slice, of each normal unit that sets or measures the threshold, (n,)."""
        units = dict.fromkeys(s.unit for s in (*split.normal, *split.check_normal))
        return np.array([self.z_of_watched[unit] for unit in units if unit in self.z_of_watched])

    def highest(self, threshold: float) -> tuple[tuple[str, float], ...]:
        """Normal units at the threshold and above it, falling, at most MAX_HIGHEST; at least the highest of all."""
        falling = sorted(self.z_of_units.items(), key=lambda pair: -pair[1])
        count = sum(z >= threshold for _, z in falling)
        return tuple(falling[: max(1, min(count, MAX_HIGHEST))])

    def threshold_z(self, split: ThresholdSplit) -> dict[str, float]:
        """Of the normal units that set or measure the threshold; those that only set the scale do not count."""
        units = {s.unit for s in (*split.normal, *split.check_normal)}
        return {unit: z for unit, z in self.z_of_units.items() if unit in units}

    def images_of(self, units: Sequence[str], split: ThresholdSplit, statistic: Statistic) -> tuple[Scored, ...]:
        """Of each unit, in order, the image with the largest z."""
        best: dict[str, tuple[float, Scored]] = {}
        wanted = [s for s in (*split.scale, *split.normal, *split.check_normal) if s.unit in units]
        for one in self.view.score_usable(wanted, Skips(allowed=True), lambda _: None):
            z = combined_statistic(one.prediction, statistic, self.min_area, one.ignore)
            if one.sample.unit not in best or z > best[one.sample.unit][0]:
                best[one.sample.unit] = (z, one)
        return tuple(best[unit][1] for unit in units if unit in best)

    def fit_scale(self, samples: Sequence[Sample], pixel_only: bool) -> tuple[Statistic, int]:
        """The constants of z and the number of units behind them."""
        terms, units = [], set()
        for s in self._scored(samples):
            units.add(s.sample.unit)
            terms.append((s.prediction.margin, highest_region(s.prediction.map, self.min_area, s.ignore)))
        if not terms:
            raise RefusedError("one normal unit sets no threshold; at least 2 are needed, and far more for a guarantee")
        found = np.array(terms)
        if not np.isfinite(found).all():
            raise RefusedError("the ignore mask leaves no region of the smallest area to be judged; mask less")
        return fit_statistic(found[:, 0], found[:, 1], pixel_only), len(units)

    def unit_z(self, samples: Sequence[Sample], statistic: Statistic) -> NDArray[np.float64]:
        """z of each unit, (n_units,); the lowest possible for a unit that the picture limits reject, as no threshold
        finds it."""
        units, z = [], []
        for s in self._scored(samples):
            units.append(s.sample.unit)
            found = combined_statistic(s.prediction, statistic, self.min_area, s.ignore)
            z.append(found if s.fault is None else NEVER_ALARMS)
            if not s.sample.label:
                # Drift counts what a picture shows, whether or not it is judged.
                first = self.z_of_watched.setdefault(units[-1], found)
                if s.sample.slice is not None:
                    self.z_of_watched[units[-1]] = max(first, found)
                self.z_of_units[units[-1]] = max(z[-1], self.z_of_units.get(units[-1], z[-1]))
        return unit_maxima(units, z)

    def _scored(self, samples: Sequence[Sample]) -> Iterator[Scored]:
        return self.view.score_usable(samples, self.skips, self.advance)


def unit_maxima(units: Sequence[str], z: Sequence[float]) -> NDArray[np.float64]:
    """z of images, as many as `units` -> the largest of each unit, (n_units,)."""
    # A unit alarms when any of its images does.
    best: dict[str, float] = {}
    for unit, value in zip(units, z, strict=True):
        best[unit] = max(value, best.get(unit, float("-inf")))
    return np.array(list(best.values()))
