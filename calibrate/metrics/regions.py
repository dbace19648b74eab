"""AUPRO: the share of each defect region that is found, averaged over regions, against the false positive rate.

A region is an 8-connected part of a mask; large and small ones count the same. Maps (N,H,W) of a float type, finite;
masks (N,H,W) bool. Without a region, or without a normal pixel, the metric is None.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from calibrate.errors import DataError
from calibrate.metrics.points import CurvePoints
from calibrate.metrics.ranking import Array, Groups, Totals, group_positives, limited_area

FPR_LIMIT = 0.3
PAPER_STEPS = 200


class MapPixels(NamedTuple):
    """One map taken apart by its mask; together the parts hold H·W pixels."""

    negatives: Array
    """(M,) values outside every region, in reading order."""
    positives: Array
    """(P,) values inside one."""
    sizes: Array
    """int32 (P,): the size in pixels of the region that each positive is of."""
    regions: int


def split_map(values: Array, mask: Array) -> MapPixels:
    """Map (H,W) and mask (H,W) bool; raises DataError when they differ in shape or a value is not finite."""
    if values.ndim != 2 or values.shape != mask.shape:
        raise DataError(f"map {values.shape} and mask {mask.shape} are no pair of equal images")
    if not np.isfinite(values).all():
        raise DataError("a map is not finite")
    inside = np.asarray(mask, bool)
    if not inside.any():
        return MapPixels(values.ravel(), values.ravel()[:0], np.empty(0, np.int32), 0)
    count, labelled, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(inside).view(np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    area = stats[:, cv2.CC_STAT_AREA].astype(np.int32)
    return MapPixels(values[~inside], values[inside], area[labelled[inside]], count - 1)


def aupro_exact(maps: Array, masks: Array, limit: float = FPR_LIMIT) -> float | None:
    """Area under PRO over FPR in 0..limit divided by `limit`, in 0..1: every distinct value is a threshold.

    The curve is linear between its points and cut at exactly `limit`, 0 < limit <= 1. Memory beyond the arguments:
    one copy of the maps and about 100 bytes a pixel of the regions. Raises DataError as `split_map` does,
    ValueError for another limit.
    """
    _check_limit(limit)
    ranked = _ranked(maps, masks)
    return None if ranked is None else limited_area(ranked[1], ranked[0], limit)


def pro_curve_points(maps: Array, masks: Array, limit: float = FPR_LIMIT) -> Array | None:
    """float64 (K,2), K < 500: FPR in 0..limit and PRO, of the curve whose area is `aupro_exact`."""
    _check_limit(limit)
    ranked = _ranked(maps, masks)
    if ranked is None:
        return None
    points = CurvePoints(ranked[0])
    points.add(ranked[1])
    return points.pro(limit)


class PaperTally:
    """AUPRO as the released code computes it, of pixels that come in any order and in any pieces.

    Thresholds low + i·(high−low)/200 for i = 0..199, `>`; the points with FPR < 0.3 in threshold order, their FPR
    rescaled to 0..1 by its own extremes, trapezoid. The released code feeds it probability maps.
    """

    def __init__(self, low: float, high: float) -> None:
        """The extremes of all maps, normal pixels and regions together."""
        self._thresholds = low + np.arange(PAPER_STEPS) * ((high - low) / PAPER_STEPS)
        self._negatives = np.zeros(PAPER_STEPS + 1)
        self._overlap = np.zeros(PAPER_STEPS + 1)

    def add(self, negatives: Array, positives: Array, sizes: Array) -> None:
        """Values (M,) of normal pixels, values (P,) of regions' pixels and the sizes (P,) of their regions."""
        self._negatives += self._histogram(negatives)
        self._overlap += self._histogram(positives, 1.0 / sizes)

    def _histogram(self, values: Array, weights: Array | None = None) -> Array:
        """float64 (201,): over how many of the thresholds a value lies."""
        below = np.searchsorted(self._thresholds, values, side="left")
        return np.bincount(below, weights, minlength=PAPER_STEPS + 1)

    def result(self, regions: int) -> float | None:
        """None when no normal pixel, no region or no two different FPR below 0.3 came."""
        negatives = self._negatives.sum()
        if not negatives or not regions:
            return None
        rate = np.cumsum(self._negatives[::-1])[::-1][1:] / negatives
        pro = np.cumsum(self._overlap[::-1])[::-1][1:] / regions
        rate, pro = rate[rate < FPR_LIMIT], pro[rate < FPR_LIMIT]
        if not len(rate) or rate[0] == rate[-1]:
            return None
        scaled = (rate - rate[-1]) / (rate[0] - rate[-1])
        return float(np.sum((scaled[:-1] - scaled[1:]) * (pro[:-1] + pro[1:]) / 2))


def aupro_paper(maps: Array, masks: Array) -> float | None:
    """AUPRO by `PaperTally`'s definition; raises DataError as `split_map` does."""
    if not maps.size:
        return None
    low, high = float(maps.min()), float(maps.max())
    if not math.isfinite(low + high):
        raise DataError("a map is not finite")
    tally, regions = PaperTally(low, high), 0
    for part in _parts(maps, masks):
        tally.add(part.negatives, part.positives, part.sizes)
        regions += part.regions
    return tally.result(regions)


def _check_limit(limit: float) -> None:
    if not 0 < limit <= 1:
        raise ValueError(f"the limit of the false positive rate is {limit}, not in 0..1")


def _parts(maps: Array, masks: Array) -> Iterator[MapPixels]:
    if maps.shape != masks.shape:
        raise DataError(f"maps {maps.shape} and masks {masks.shape} differ in shape")
    return (split_map(values, mask) for values, mask in zip(maps, masks, strict=True))


def _ranked(maps: Array, masks: Array) -> tuple[Totals, Groups] | None:
    negatives = np.empty(masks.size - np.count_nonzero(masks), maps.dtype)
    filled = regions = 0
    values, weights = [], []
    for part in _parts(maps, masks):
        negatives[filled : filled + len(part.negatives)] = part.negatives
        filled += len(part.negatives)
        values.append(part.positives)
        weights.append(1.0 / part.sizes)
        regions += part.regions
    totals = Totals(filled, sum(map(len, values)), regions)
    if not totals.both:
        return None
    negatives.sort()
    return totals, group_positives(negatives, np.concatenate(values), np.concatenate(weights))
