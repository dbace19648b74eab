"""The metrics written plainly from their definitions, with loops: slow, and easy to check by eye."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Point = tuple[float, float]


def regions(mask: Array) -> list[list[tuple[int, int]]]:
    """The pixels of every 8-connected region of a mask (H,W), by flooding."""
    height, width = mask.shape
    left = {(y, x) for y in range(height) for x in range(width) if mask[y, x]}
    found = []
    while left:
        region = [left.pop()]
        for y, x in region:
            for near in itertools.product((y - 1, y, y + 1), (x - 1, x, x + 1)):
                if near in left:
                    left.remove(near)
                    region.append(near)
        found.append(region)
    return found


def auroc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Every positive against every negative; a tie is half a win."""
    positives = [s for s, label in zip(scores, labels, strict=True) if label]
    negatives = [s for s, label in zip(scores, labels, strict=True) if not label]
    won = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return won / (len(positives) * len(negatives))


def precision_recall(scores: Sequence[float], labels: Sequence[bool]) -> list[tuple[float, float, float]]:
    """(threshold, precision, recall) of `score >= threshold` at every distinct score, descending."""
    rows = []
    for threshold in sorted(set(scores), reverse=True):
        found = [label for s, label in zip(scores, labels, strict=True) if s >= threshold]
        rows.append((threshold, sum(found) / len(found), sum(found) / sum(labels)))
    return rows


def average_precision(scores: Sequence[float], labels: Sequence[bool]) -> float:
    total = last = 0.0
    for _, precision, recall in precision_recall(scores, labels):
        total += (recall - last) * precision
        last = recall
    return total


def f1_max(scores: Sequence[float], labels: Sequence[bool]) -> float:
    rows = precision_recall(scores, labels)
    return max(2 * p * r / (p + r) if p + r else 0.0 for _, p, r in rows)


def pro_points(maps: Array, found: Sequence[Array], masks: Array) -> list[Point]:
    """(FPR, PRO) of each boolean image stack (N,H,W) in `found`."""
    whole = [(n, region) for n in range(len(maps)) for region in regions(masks[n])]
    normal = [tuple(at) for at in np.argwhere(np.logical_not(masks))]
    points = []
    for alarm in found:
        overlaps = [sum(bool(alarm[n, y, x]) for y, x in region) / len(region) for n, region in whole]
        points.append((sum(bool(alarm[at]) for at in normal) / len(normal), sum(overlaps) / len(overlaps)))
    return points


def trapezoid(points: Sequence[Point]) -> float:
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))


def aupro_exact(maps: Array, masks: Array, limit: float) -> float:
    """Every distinct value a threshold; the segment that crosses the limit is cut there."""
    thresholds = sorted(set(maps.ravel().tolist()), reverse=True)
    points = [(0.0, 0.0), *pro_points(maps, [maps >= t for t in thresholds], masks)]
    area = 0.0
    for a, b in itertools.pairwise(points):
        if b[0] <= limit:
            area += trapezoid((a, b))
        elif a[0] < limit:
            share = (limit - a[0]) / (b[0] - a[0])
            area += trapezoid((a, (limit, a[1] + share * (b[1] - a[1]))))
    return area / limit


def aupro_paper(maps: Array, masks: Array) -> float:
    """200 even thresholds from the minimum on, the maximum left out."""
    low, high = float(maps.min()), float(maps.max())
    values = maps.astype(np.float64)
    found = [values > low + i * ((high - low) / 200) for i in range(200)]
    points = [p for p in pro_points(maps, found, masks) if p[0] < 0.3]
    least, most = min(p[0] for p in points), max(p[0] for p in points)
    return abs(trapezoid([((rate - least) / (most - least), pro) for rate, pro in points]))
