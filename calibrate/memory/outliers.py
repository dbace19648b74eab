"""Normal images that may not be normal: far from what all the others show.

An anomalous image in a memory teaches it that its defect is normal. Each image is therefore compared with the tokens
of the other units only, as if it had not been there. Several images with the same defect explain each other and are
not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor

from calibrate.datasets.sample import Sample
from calibrate.memory.candidates import Candidates
from fbclip.memory.index import image_distance, nearest_distance

RATE = 0.001
"""Share of normal images that are taken for outliers, where the logarithm of their scores is normally distributed.

It is a little skewed: on generated lines the share was 1 %, and two thirds of planted anomalous images were found.
"""
MIN_UNITS = 8
"""With fewer the spread of the scores is not known well enough."""
_MAX_REFERENCE = 20_000
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, eq=False)
class Outliers:
    """scores (P,): distances, one an image; limit: a score above it is an outlier, None for too few units."""

    scores: NDArray[np.float64]
    limit: float | None

    @property
    def rows(self) -> list[int]:
        """Images above the limit, the farthest first."""
        if self.limit is None:
            return []
        return [int(i) for i in np.argsort(-self.scores, kind="stable") if self.scores[i] > self.limit]

    def lines(self, samples: Sequence[Sample]) -> list[str]:
        """One line an outlier of the P samples, the farthest first."""
        if self.limit is None:
            return []
        times = "times the distance that normal images stay within"
        return [f"{samples[row].path}: {self.scores[row] / self.limit:.2f} {times}" for row in self.rows]


def find_outliers(candidates: Candidates, farthest: int, seed: int, known: Tensor | None = None) -> Outliers:
    """Score every image by its distance from the others and from `known` (K,F), tokens of an existing memory.

    `farthest`: see `MemoryConfig`.

    At most _MAX_REFERENCE tokens of either, drawn from `seed`, are what an image is compared with.
    """
    units = [sample.unit for sample in candidates.samples]
    if len(set(units)) < MIN_UNITS:
        return Outliers(np.full(len(units), np.nan), None)
    index = {unit: k for k, unit in enumerate(dict.fromkeys(units))}
    unit_of = torch.tensor([index[unit] for unit in units])[candidates.owner]
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(candidates.tokens), generator=generator)[:_MAX_REFERENCE]
    reference, reference_unit = candidates.tokens[chosen], unit_of[chosen]
    if known is not None:
        reference = torch.cat((reference, known[torch.randperm(len(known), generator=generator)[:_MAX_REFERENCE]]))
        reference_unit = torch.cat((reference_unit, torch.full((len(reference) - len(reference_unit),), -1)))
    scores = np.empty(len(units))
    for unit, number in index.items():
        others = reference[reference_unit != number].float()
        for row in (k for k, name in enumerate(units) if name == unit):
            tokens = candidates.tokens[candidates.owner == row]
            scores[row] = float(image_distance(nearest_distance(tokens[None].float(), others), farthest))
    return Outliers(scores, robust_limit(scores, len(index)))


def robust_limit(scores: NDArray[np.float64], units: int) -> float:
    """Median and MAD of the logarithms -> the score that a share RATE of normal images exceeds.

    With few units the MAD is often too small by chance; the factor makes up for it, by simulation of normal samples
    of 8 to 300. Equal scores have no spread; a floor of 1 % keeps copies of one image from being outliers.
    """
    logs = np.log(np.maximum(scores, 1e-12))
    centre = float(np.median(logs))
    sigma = max(_MAD_TO_SIGMA * float(np.median(np.abs(logs - centre))), 0.01)
    return float(np.exp(centre + float(norm.ppf(1 - RATE)) * (1 + 10 / units) * sigma))
