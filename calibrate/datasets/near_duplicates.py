"""Units that are pictures of the same thing: all but one of them prove nothing.

Two units are near-duplicates where their small grey pictures

- lie closer together than independent ones would in one data set of a hundred (LEVEL): the share of pairs that differ
  by less than d falls as d^D, with the dimension D that the quartiles of all pairs show, so the limit is where the
  number of pairs that chance brings below it is LEVEL; and
- differ without structure, as by the noise of a camera: then averaging 4×4 cells leaves a quarter of the difference.
  Parts of one variant among many lie close together too, but what tells them apart has a form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from calibrate.datasets.sample import Sample
from calibrate.datasets.unit_images import SIDE, SmallPicture, of_units, small_picture

COARSE = 8
LEVEL = 0.01
MOST_STRUCTURE = 0.5
"""Of the coarse difference to the fine one: 0.25 of pure noise, near 1 of a form."""
_LOW, _HIGH = 0.25, 0.75

Pictures = NDArray[np.float32]
"""(n,SIDE,SIDE)"""


@dataclass(frozen=True)
class NearDuplicates:
    """groups: units that are one, each of two and more in order; compared: how many units were looked at."""

    groups: tuple[tuple[str, ...], ...] = ()
    compared: int = 0
    same_as: dict[str, str] = field(default_factory=dict)

    @property
    def spare(self) -> int:
        """Units that are the same as an earlier one."""
        return len(self.same_as)


def find_near_duplicates(samples: Sequence[Sample]) -> NearDuplicates:
    """Compares the first image of each unit; one that cannot be read is the same as no other."""
    return near_duplicates(dict(of_units(samples, small_picture)))


def near_duplicates(pictures: Mapping[str, SmallPicture]) -> NearDuplicates:
    """`pictures`: of each unit, in order."""
    if len(pictures) < 3:
        return NearDuplicates(compared=len(pictures))
    labels = same_pictures(np.stack([p - p.mean() for p in pictures.values()]))
    members: dict[int, list[str]] = {}
    for name, label in zip(pictures, labels, strict=True):
        members.setdefault(int(label), []).append(name)
    groups = tuple(tuple(units) for units in members.values() if len(units) > 1)
    return NearDuplicates(groups, len(pictures), {unit: group[0] for group in groups for unit in group[1:]})


def same_pictures(pictures: Pictures) -> NDArray[np.int64]:
    """(n,SIDE,SIDE) -> (n,) numbers, the same for pictures of the same thing."""
    fine, coarse = _distances(pictures), _distances(_averaged(pictures))
    pairs = fine[np.triu_indices(len(fine), 1)]
    limit = closeness_limit(pairs)
    same = (fine <= limit) & (coarse <= MOST_STRUCTURE * fine)
    return np.asarray(connected_components(csr_matrix(same), directed=False)[1], np.int64)


def closeness_limit(pairs: NDArray[np.float64]) -> float:
    """Distances of all pairs, (n·(n−1)/2,) -> the one below which chance brings LEVEL pairs."""
    low, high = (float(v) for v in np.quantile(pairs, (_LOW, _HIGH)))
    if low <= 0 or high <= low:
        return 0.0
    dimension = math.log(_HIGH / _LOW) / math.log(high / low)
    return float(low * min(1.0, LEVEL / (_LOW * len(pairs))) ** (1 / dimension))


def merged(samples: Sequence[Sample], found: NearDuplicates) -> list[Sample]:
    """The same images with one unit for all that are the same."""
    return [replace(s, unit=found.same_as[s.unit]) if s.unit in found.same_as else s for s in samples]


def _averaged(pictures: Pictures) -> Pictures:
    step = SIDE // COARSE
    return np.asarray(pictures.reshape(len(pictures), COARSE, step, COARSE, step).mean(axis=(2, 4)), np.float32)


def _distances(pictures: Pictures) -> NDArray[np.float64]:
    """Root mean square differences of all pairs, (n,n)."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float64)
    square = (flat**2).sum(axis=1)
    gaps = square[:, None] + square[None, :] - 2 * flat @ flat.T
    return np.asarray(np.sqrt(np.maximum(gaps, 0) / flat.shape[1]), np.float64)
