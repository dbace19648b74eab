"""How well each use of a memory tells normal from painted images, and whether by more than chance. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibrate.errors import RefusedError
from calibrate.statistics.scale import fit_statistic
from fbclip.decision import highest_region, statistic_of
from fbclip.images.geometry import BoolMap
from fbclip.memory.fusion import Fusion, Terms, fused_prediction

MemoryUse = Literal["zero-shot", "memory", "fused"]
Values = NDArray[np.float64]
_RESAMPLES, _SEED = 400, 0
_PREFERRED: tuple[MemoryUse, ...] = ("fused", "memory")
"""In doubt both opinions, then the memory, which knows the line."""


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

    auroc: dict[MemoryUse, float]
    error: dict[MemoryUse, float]
    n_normal: int
    n_painted: int

    @property
    def best(self) -> MemoryUse:
        """The highest AUROC; but a preferred use where it is at most one standard error worse.

        Where images of a line differ much, a painted defect shows in neither opinion and nothing is decided.
        """
        top = max(self.auroc, key=lambda use: self.auroc[use])
        for use in _PREFERRED:
            if use in self.auroc and self.auroc[top] - self.auroc[use] <= self.error[use]:
                return use
        return top


def compare_fusions(
    fusions: Mapping[MemoryUse, Fusion | None], samples: Iterable[FusionSample], min_area: int, pixel_only: bool
) -> FusionScores:
    """Scores of every fusion on the same samples, which are read once and not kept.

    Raises RefusedError when there is no normal or no painted image.
    """
    rows: list[list[tuple[float, float]]] = []
    units: list[str] = []
    painted: list[bool] = []
    for sample in samples:
        predictions = [fused_prediction(sample.terms, fusion) for fusion in fusions.values()]
        rows.append([(one.margin, highest_region(one.map, min_area, sample.ignore)) for one in predictions])
        units.append(sample.unit)
        painted.append(sample.anomalous)
    anomalous = np.array(painted, bool)
    if not anomalous.any() or anomalous.all():
        raise RefusedError("no image is large enough to paint a defect on; say --use memory, fused or zero-shot")
    margins, levels = np.moveaxis(np.array(rows), 2, 0)
    z = np.stack([_z(margins[:, k], levels[:, k], ~anomalous, pixel_only) for k in range(len(fusions))])
    of_painted, of_normal = z[:, anomalous, None], z[:, None, ~anomalous]
    wins = (of_painted > of_normal) + 0.5 * (of_painted == of_normal)
    names = np.array(units)
    area = wins.mean(axis=(1, 2))
    errors = _errors(wins, names[anomalous], names[~anomalous], area)
    return FusionScores(
        {use: float(area[k]) for k, use in enumerate(fusions)},
        {use: float(errors[k]) for k, use in enumerate(fusions)},
        int((~anomalous).sum()),
        int(anomalous.sum()),
    )


def _z(margins: Values, levels: Values, normal: NDArray[np.bool_], pixel_only: bool) -> NDArray[np.float32]:
    """Margins and region levels (n,) -> z (n,) by the constants that the normal ones give."""
    return statistic_of(margins, levels, fit_statistic(margins[normal], levels[normal], pixel_only))


def _errors(wins: Values, painted: NDArray[np.str_], normal: NDArray[np.str_], area: Values) -> Values:
    """Bootstrap over units, the same for all fusions: spread of (best − each), (K,).

    wins (K,P,N): 1 where a painted sample scores above a normal one; painted (P,), normal (N,): their units.
    """
    rng = np.random.default_rng(_SEED)
    names, index = np.unique(np.concatenate((painted, normal)), return_inverse=True)
    of_painted, of_normal = index[: len(painted)], index[len(painted) :]
    differences = []
    for _ in range(_RESAMPLES):
        times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names)).astype(np.float64)
        row, column = times[of_painted], times[of_normal]
        total = row.sum() * column.sum()
        if total:
            areas = np.einsum("kpn,p,n->k", wins, row, column, optimize=True) / total
            differences.append(areas[int(area.argmax())] - areas)
    return np.std(differences, axis=0) if differences else np.zeros(len(wins))
