"""Which use of the memory tells normal from painted images best, and whether by more than chance. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrate.errors import RefusedError
from calibrate.statistics.scale import fit_statistic
from fbclip.decision import highest_region
from fbclip.images.geometry import BoolMap
from fbclip.memory.fusion import Fusion, Terms, fused_prediction

Values = NDArray[np.float64]
_RESAMPLES, _SEED = 400, 0
_PREFERRED = ("fused", "memory")
"""In doubt both opinions, then the memory, which has seen the line."""


@dataclass(frozen=True, eq=False)
class FusionSample:
    """One image of the scale split, as it is or with a painted defect; `ignore` has the map's shape."""

    unit: str
    anomalous: bool
    terms: Terms
    ignore: BoolMap | None = None


@dataclass(frozen=True)
class FusionScores:
    """auroc: use -> AUROC in 0..1 of z; error: standard error of how much less than the best it is."""

    auroc: dict[str, float]
    error: dict[str, float]
    n_good: int
    n_painted: int

    @property
    def best(self) -> str:
        """The highest AUROC; but a preferred use where it is at most one standard error worse.

        Where images of a line differ much, a painted defect shows in neither opinion and nothing is decided.
        """
        top = max(self.auroc, key=lambda use: self.auroc[use])
        for use in _PREFERRED:
            if use in self.auroc and self.auroc[top] - self.auroc[use] <= self.error[use]:
                return use
        return top


def judge(
    fusions: Mapping[str, Fusion | None], shown: Iterable[FusionSample], min_area: int, pixel_only: bool
) -> FusionScores:
    """Compare fusions by their names; images are looked at once and not kept.

    Raises RefusedError when there is no normal or no painted image.
    """
    parts: list[list[tuple[float, float]]] = []
    units: list[str] = []
    painted: list[bool] = []
    for one in shown:
        row = []
        for fusion in fusions.values():
            found = fused_prediction(one.terms, fusion)
            row.append((found.margin, highest_region(found.map, min_area, one.ignore)))
        parts.append(row)
        units.append(one.unit)
        painted.append(one.anomalous)
    anomalous = np.array(painted, bool)
    if not anomalous.any() or anomalous.all():
        raise RefusedError("no image is large enough to paint a defect on; say --use memory, fused or zero-shot")
    numbers = np.array(parts)
    z = np.stack([_z(numbers[:, k], ~anomalous, pixel_only) for k in range(len(fusions))])
    wins = (z[:, anomalous, None] > z[:, None, ~anomalous]) + 0.5 * (z[:, anomalous, None] == z[:, None, ~anomalous])
    names = np.array(units)
    area = wins.mean(axis=(1, 2))
    errors = _errors(wins, names[anomalous], names[~anomalous], area)
    return FusionScores(
        {use: float(area[k]) for k, use in enumerate(fusions)},
        {use: float(errors[k]) for k, use in enumerate(fusions)},
        int((~anomalous).sum()),
        int(anomalous.sum()),
    )


def _z(terms: Values, normal: NDArray[np.bool_], pixel_only: bool) -> Values:
    """terms (n,2): margin and region level -> z (n,) with the constants that the normal images give."""
    statistic = fit_statistic(terms[normal, 0], terms[normal, 1], pixel_only)
    pixel = (terms[:, 1] - statistic.a2) / statistic.b2
    return pixel if pixel_only else np.maximum((terms[:, 0] - statistic.a) / statistic.b, pixel)


def _errors(wins: Values, anomalous: NDArray[np.str_], normal: NDArray[np.str_], area: Values) -> Values:
    """Bootstrap over units, the same for all fusions: spread of (best − each), (K,)."""
    rng = np.random.default_rng(_SEED)
    names, index = np.unique(np.concatenate((anomalous, normal)), return_inverse=True)
    of_anomalous, of_normal = index[: len(anomalous)], index[len(anomalous) :]
    differences = []
    for _ in range(_RESAMPLES):
        times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names)).astype(np.float64)
        row, column = times[of_anomalous], times[of_normal]
        total = row.sum() * column.sum()
        if total:
            areas = np.einsum("kbg,b,g->k", wins, row, column, optimize=True) / total
            differences.append(areas[int(area.argmax())] - areas)
    return np.std(differences, axis=0) if differences else np.zeros(len(wins))
