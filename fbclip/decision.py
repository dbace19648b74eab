"""From one image's prediction to a verdict: pure functions, shared by `calibrate` and the agent.

z = max((margin − a)/b, (M − a2)/b2) is one float32 number; M is the highest level at which an 8-connected
region of the map of at least `min_area_px` pixels survives. Alarm strictly above the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from fbclip.frozen import Frozen
from fbclip.images.geometry import BoolMap, Box, FloatMap, Placement

NON_FINITE = "non_finite"


class Verdict(StrEnum):
    OK = "ok"
    ANOMALY = "anomaly"
    UNCERTAIN = "uncertain"
    REJECTED = "rejected"


GRAVITY = {Verdict.OK: 0, Verdict.UNCERTAIN: 1, Verdict.REJECTED: 2, Verdict.ANOMALY: 3}
"""What makes a whole worse: a part that cannot be judged leaves it open whether the others are all there is to see."""


class Statistic(Frozen):
    """Constants of z; `b` and `b2` are positive. `use: pixel` leaves the image term out."""

    a: float = Field(allow_inf_nan=False)
    b: float = Field(gt=0, allow_inf_nan=False)
    a2: float = Field(allow_inf_nan=False)
    b2: float = Field(gt=0, allow_inf_nan=False)
    use: Literal["both", "pixel"] = "both"


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the detector says about one image.

    margin: logit of abnormal − normal of the CLS token; score: its probability in 0..1;
    map: (H,W) float32 smoothed margins, (S,S) unless the image is tiled.
    """

    margin: float
    score: float
    map: FloatMap

    @property
    def finite(self) -> bool:
        """Nothing may be decided by a prediction that is not."""
        return bool(np.isfinite(self.margin) and np.isfinite(self.map).all())


@dataclass(frozen=True)
class Region:
    """A defect region: half-open box (x1,y1,x2,y2) and area in original pixels, highest margin in it."""

    box: Box
    area_px: int
    margin_max: float


@dataclass(frozen=True)
class Decision:
    """A verdict with everything it rests on; `z` and `margin` are NaN-free unless the verdict is `rejected`.

    advice: one line on what to do about a picture that cannot be judged, where there is one.
    """

    verdict: Verdict
    reason: str | None
    z: float | None
    margin: float | None
    score: float | None
    threshold: float | None
    regions: tuple[Region, ...] = ()
    advice: str | None = None


def reject(reason: str, threshold: float | None = None, advice: str | None = None) -> Decision:
    """No verdict possible; `reason` is a short stable word."""
    return Decision(Verdict.REJECTED, reason, None, None, None, threshold, advice=advice)


def region_level(values: FloatMap, min_area_px: int) -> float:
    """M: the highest level t at which {values >= t} has an 8-connected region of >= min_area_px pixels.

    values: (H,W) float32; pixels of −inf (masked out) never take part. Returns −inf where no region of
    that size exists at any finite level. Exact: regions only grow as the level falls, so the sorted values are
    searched from the top, where the region of a smoothed map is, in doubled steps and then by bisection.
    """
    if min_area_px < 1:
        raise ValueError(f"min_area_px must be at least 1, got {min_area_px}")
    ranked = np.sort(values[np.isfinite(values)])[::-1]
    if ranked.size < min_area_px:
        return float("-inf")
    # A region of k pixels cannot survive above the k-th largest value.
    low = high = min_area_px - 1
    while not _has_region(values >= ranked[high], min_area_px):
        if high == ranked.size - 1:
            return float("-inf")
        low, high = high + 1, min(2 * high + 1, ranked.size - 1)
    values = _around(values, values >= ranked[high])
    while low < high:
        middle = (low + high) // 2
        if _has_region(values >= ranked[middle], min_area_px):
            high = middle
        else:
            low = middle + 1
    return float(ranked[high])


def _around(values: FloatMap, mask: BoolMap) -> FloatMap:
    """The part of `values` that holds all of `mask`, which has a pixel at least."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _has_region(mask: BoolMap, min_area_px: int) -> bool:
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return bool(areas.size and areas.max() >= min_area_px)


def default_min_area(patch_size: int) -> int:
    """Smallest region that counts where nobody says otherwise: a quarter of a patch, in map pixels."""
    return max(1, patch_size**2 // 4)


def highest_region(margins: FloatMap, min_area_px: int, ignore: BoolMap | None = None) -> float:
    """M of a map (H,W) in margins, leaving out the pixels where `ignore` (H,W) is true."""
    judged = margins if ignore is None else np.where(ignore, np.float32("-inf"), margins)
    return region_level(judged.astype(np.float32), min_area_px)


def statistic_of(margins: ArrayLike, levels: ArrayLike, statistic: Statistic) -> NDArray[np.float32]:
    """Margins (n,) and region levels M (n,) of n images -> z (n,) float32. This is the one place that computes z.

    A term of −inf takes no part. Where `statistic` leaves the image term out, `margins` do not count.
    """
    pixel = _pixel_term(np.asarray(levels, np.float32), statistic)
    if statistic.use == "pixel":
        return pixel
    image = (np.asarray(margins, np.float32) - np.float32(statistic.a)) / np.float32(statistic.b)
    return np.asarray(np.maximum(image, pixel), np.float32)


def _pixel_term(margins: FloatMap, statistic: Statistic) -> FloatMap:
    """(map − a2)/b2 in float32, of any shape. It keeps the order of its values, so it may be taken of M or of a map."""
    return np.asarray((margins - np.float32(statistic.a2)) / np.float32(statistic.b2), np.float32)


def combined_statistic(
    prediction: Prediction, statistic: Statistic, min_area_px: int, ignore: BoolMap | None = None
) -> float:
    """z of one image. An ignore mask leaves the image term out, because CLS sees the masked parts."""
    margin = prediction.margin if ignore is None else float("-inf")
    level = highest_region(prediction.map, min_area_px, ignore)
    return float(statistic_of([margin], [level], statistic)[0])


def region_mask(prediction: Prediction, statistic: Statistic, level: float) -> BoolMap:
    """(S,S): where the map is strictly above `level` (in units of z)."""
    return np.asarray(_pixel_term(prediction.map, statistic) > np.float32(level))


def regions_above(
    prediction: Prediction,
    statistic: Statistic,
    level: float,
    min_area_px: int,
    placement: Placement,
    ignore: BoolMap | None = None,
) -> tuple[Region, ...]:
    """Regions of the map strictly above `level` (in units of z), largest margin first."""
    above = region_mask(prediction, statistic, level)
    if ignore is not None:
        above &= ~ignore
    count, labels, stats, _ = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=8)
    shape = (prediction.map.shape[0], prediction.map.shape[1])
    scale = placement.width * placement.height / prediction.map.size
    regions = []
    for index in range(1, count):
        x, y, w, h, area = (int(v) for v in stats[index])
        if area < min_area_px:
            continue
        box = placement.to_original((x, y, x + w, y + h), shape)
        peak = float(prediction.map[y : y + h, x : x + w][labels[y : y + h, x : x + w] == index].max())
        regions.append(Region(box, max(1, round(area * scale)), peak))
    return tuple(sorted(regions, key=lambda r: -r.margin_max))


def decide(
    prediction: Prediction,
    statistic: Statistic,
    threshold: float,
    uncertain_above: float | None,
    min_area_px: int,
    placement: Placement,
    ignore: BoolMap | None = None,
) -> Decision:
    """The verdict of one image; any non-finite output is `rejected: non_finite`."""
    if not prediction.finite:
        return reject(NON_FINITE, threshold)
    z = combined_statistic(prediction, statistic, min_area_px, ignore)
    if not np.isfinite(z):
        # Every pixel is masked out, or the smallest region does not fit: nothing was judged.
        return reject("nothing_to_judge", threshold)
    if z > np.float32(threshold):
        verdict = Verdict.ANOMALY
    elif uncertain_above is not None and z > np.float32(uncertain_above):
        verdict = Verdict.UNCERTAIN
    else:
        verdict = Verdict.OK
    level = threshold if verdict is not Verdict.UNCERTAIN or uncertain_above is None else uncertain_above
    regions: tuple[Region, ...] = ()
    if verdict is not Verdict.OK:
        regions = regions_above(prediction, statistic, level, min_area_px, placement, ignore)
    return Decision(verdict, None, z, prediction.margin, prediction.score, threshold, regions)
