"""Units drawn again and again: AUROC and average precision of images and of pixels, for all draws at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]
CELLS = 4_000_000
"""Weights held at once; a float64 array of that size takes 32 MB."""

Scores = NDArray[np.float32] | Floats


class Ranking(NamedTuple):
    """AUROC and average precision, each (draws,), in 0..1; NaN for a draw of one kind only."""

    auroc: Floats
    average_precision: Floats


def draw_weights(units: Sequence[str], labels: Labels, draws: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Weights (part, N) of N images, in parts that make `draws` rows together.

    Normal and anomalous units are drawn apart, as many as there are of each, so a draw keeps their numbers. A unit with
    any anomalous image is anomalous.
    """
    _, member = np.unique(np.array(units, dtype=str), return_inverse=True)
    count = int(member.max()) + 1
    anomalous = np.zeros(count, dtype=np.bool_)
    np.logical_or.at(anomalous, member, labels)
    step = max(1, CELLS // len(units))
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        drawn = np.zeros((rows, count))
        for kind in (False, True):
            mine = np.flatnonzero(anomalous == kind)
            if len(mine):
                drawn[:, mine] = rng.multinomial(len(mine), np.full(len(mine), 1 / len(mine)), size=rows)
        yield drawn[:, member]


def weighted_ranking(scores: Floats, labels: Labels, weights: Floats) -> Ranking:
    """Scores (N,), labels (N,) and weights (draws, N), N >= 1. Ties count half for AUROC and together for AP."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    inside = labels[order]
    positives = np.add.reduceat(weights[:, order] * inside, starts, axis=1)
    negatives = np.add.reduceat(weights[:, order] * ~inside, starts, axis=1)
    tp, fp = np.cumsum(positives, axis=1), np.cumsum(negatives, axis=1)
    all_positives, all_negatives = tp[:, -1], fp[:, -1]
    below = all_negatives[:, None] - fp + negatives / 2
    found = np.maximum(tp + fp, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        area = (positives * below).sum(axis=1) / (all_positives * all_negatives)
        precision = (positives * tp / found).sum(axis=1) / np.where(all_negatives > 0, all_positives, np.nan)
    return Ranking(area, precision)


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
