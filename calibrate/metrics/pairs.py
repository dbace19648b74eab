"""AUROC of pixels when whole images are drawn again and again: exact, as a sum over pairs of images. Pure.

How often the positives of one image lie above the negatives of another does not depend on how often either is drawn.
So it is counted once for every pair, and a draw then costs a sum over pairs instead of a pass over all pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrate.statistics.bootstrap import Floats, Labels

Scores = NDArray[np.float32] | Floats


@dataclass(frozen=True, eq=False)
class Pairs:
    """won (D,N): positives of image rows[d] above negatives of image n, a tie counting half.

    rows (D,): the images that have positives; positives (D,) and negatives (N,): how many each image has.
    """

    won: Floats
    rows: NDArray[np.int64]
    positives: Floats
    negatives: Floats

    def auroc(self, weights: Floats) -> Floats:
        """Weights (draws,N) -> AUROC (draws,) in 0..1; NaN for a draw of one kind only."""
        above = weights[:, self.rows]
        won = ((above @ self.won) * weights).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(won / ((above @ self.positives) * (weights @ self.negatives)), np.float64)


def count_pairs(values: Sequence[Scores], positive: Sequence[Labels]) -> Pairs:
    """The values of every image, in any shape, and which of them are positive.

    Time grows with positives times images, memory with images squared.
    """
    found = [scores[chosen] for scores, chosen in zip(values, positive, strict=True)]
    rows = np.array([n for n, own in enumerate(found) if len(own)], np.int64)
    positives = np.array([len(found[n]) for n in rows], np.float64)
    ranked = np.concatenate([found[n] for n in rows]) if len(rows) else np.zeros(0)
    owner = np.repeat(np.arange(len(rows)), positives.astype(np.int64))
    # Rising queries find their positions several times as fast.
    order = np.argsort(ranked)
    ranked, owner = ranked[order], owner[order]
    won = np.zeros((len(rows), len(values)))
    negatives = np.zeros(len(values))
    for n, (scores, chosen) in enumerate(zip(values, positive, strict=True)):
        others = np.sort(scores[~chosen])
        below = (np.searchsorted(others, ranked, "left") + np.searchsorted(others, ranked, "right")) / 2
        won[:, n] = np.bincount(owner, below, minlength=len(rows))
        negatives[n] = len(others)
    return Pairs(won, rows, positives, negatives)
