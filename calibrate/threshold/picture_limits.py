"""Normal images -> the limits of sharpness, light and place, and what they promise."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from calibrate.datasets.sample import Sample
from calibrate.datasets.units import unit_order
from calibrate.inference import read_usable
from calibrate.statistics.intervals import rate_at_most
from fbclip.errors import ImageError
from fbclip.images.framing import Framing
from fbclip.images.geometry import FloatMap
from fbclip.picture_health.check import PictureCheck
from fbclip.picture_health.displacement import REFERENCE_SIDE, Alignment
from fbclip.picture_health.grey_view import GreyView, grey_view, reference_shape
from fbclip.picture_health.light import light
from fbclip.picture_health.limits import MovedLimits, PictureLimits
from fbclip.picture_health.sharpness import sharpness

MIN_UNITS = 10
SIDES = 4
"""Too blurred, too dark, too bright, moved: each of them takes an extreme of its own from the units."""
REFERENCE_IMAGES = 64
LEAST_SHARPNESS_MARGIN, LEAST_LIGHT_MARGIN, LEAST_SIZE_MARGIN = 0.15, 0.1, 0.015
"""A limit lies at least so far from the units' median, however little they spread: a tenth of the fine detail, 7% of
the light (both as powers of 2), and the share of a side that a reference picture resolves."""
COMMON_PLACE = 0.5
"""19 of 20 normal images agree with the reference at least so well, or they have no common place."""
FEW = 30
"""With so many units, margins are two to three times as wide as with very many."""
FARTHEST_LIMIT = 0.08
"""A line whose normal images lie further from each other has no common place either."""

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class UnitExtremes:
    """Of each unit (n,): its least sharp, darkest, lightest and farthest image; agreement: of all images (m,).

    first: sharpness, mean light and displacement of each unit's first image, (n,3).
    """

    sharpness: Values
    highlights: Values
    light: Values
    size: Values
    agreement: Values
    first: Values


@dataclass(frozen=True, eq=False)
class MeasuredPicture:
    """Limits as a profile holds them, and the reference picture that goes with them, as uint8 and as PNG.

    first: by measure, that of each unit's first image, (n,): what drift is judged against.
    """

    limits: PictureLimits
    reference: NDArray[np.uint8] | None
    png: bytes | None
    first: Mapping[str, Values]

    @property
    def as_compared(self) -> FloatMap | None:
        """The reference picture as the agent reads it, None where nothing is compared with it."""
        return None if self.reference is None else self.reference.astype(np.float32)

    def check(self, framing: Framing) -> PictureCheck:
        """As the agent applies them."""
        return PictureCheck(self.limits, framing, self.as_compared)


def measure_picture(
    aside: Sequence[Sample],
    normal: Sequence[Sample],
    framing: Framing,
    confidence: float,
    profile_name: str,
    advance: Callable[[int], None] = lambda _: None,
) -> MeasuredPicture | None:
    """`aside` makes the reference picture, to lie beside the profile of that name; `normal` units set the limits.

    None where there are fewer than MIN_UNITS units, or nothing for the reference. Images that cannot be read are left
    out: it is for the threshold to refuse them.
    """
    reference = _reference(aside, framing)
    if reference is None:
        return None
    extremes = _extremes(normal, framing, reference.astype(np.float32), advance)
    if len(extremes.size) < MIN_UNITS:
        return None
    png = bytes(cv2.imencode(".png", reference)[1])
    sha256 = hashlib.sha256(png).hexdigest()
    # By its digest, so that an earlier version of the profile finds its own.
    limits = limits_of(extremes, confidence, f"{profile_name}.reference-{sha256[:12]}.png", sha256)
    first = dict(zip(("sharpness", "light", "displacement"), extremes.first.T, strict=True))
    if limits.moved is None:
        del first["displacement"]
        return MeasuredPicture(limits, None, None, first)
    return MeasuredPicture(limits, reference, png, first)


def limits_of(units: UnitExtremes, confidence: float, file: str, sha256: str) -> PictureLimits:
    """Beyond the extremes of n units, by half of what lies between them and the median, and more for few units.

    What lies within all extremes of n independent units leaves out at most SIDES of the n + 1 blocks that they cut
    their distribution into, whatever it is (J. W. Tukey, Annals of Mathematical Statistics 18 (1947)); so the share of
    units beyond any limit is bounded as if SIDES − 1 of n had been seen there. Wider limits only lower it. The bound
    holds with and without `moved`, because that is counted in any case.
    """
    n = len(units.size)
    # Light counts in powers of 2, as exposure does.
    highlights, mean = (np.log2(np.maximum(levels, 1.0)) for levels in (units.highlights, units.light))
    farthest = _beyond(units.size, n, LEAST_SIZE_MARGIN)
    why_not = _no_common_place(units, farthest)
    moved = None
    if why_not is None:
        least = float(np.median(units.agreement)) / 2
        moved = MovedLimits(file=file, sha256=sha256, size=farthest, least_agreement=least)
    return PictureLimits(
        n_units=n,
        bound=rate_at_most(SIDES - 1, n, confidence),
        confidence=confidence,
        least_sharpness=-_beyond(-units.sharpness, n, LEAST_SHARPNESS_MARGIN),
        least_highlights=2.0 ** -_beyond(-highlights, n, LEAST_LIGHT_MARGIN),
        most_light=2.0 ** _beyond(mean, n, LEAST_LIGHT_MARGIN),
        moved=moved,
        not_moved_because=why_not,
    )


def _beyond(values: Values, n: int, least: float) -> float:
    """Above the largest of (n,), and at least `least` above their median; the fewer there are, the farther."""
    middle, largest = float(np.median(values)), float(values.max())
    return max(largest + (0.5 + FEW / n) * (largest - middle), middle + (1 + FEW / n) * least)


def _no_common_place(units: UnitExtremes, limit: float) -> str | None:
    low = float(np.quantile(units.agreement, 0.05))
    if low < COMMON_PLACE:
        return f"normal images differ too much from each other: the 5% least alike agree to {low:.2f} or less"
    if limit > FARTHEST_LIMIT:
        return f"normal images lie up to {100 * float(units.size.max()):.0f}% of the picture apart"
    return None


def _views(samples: Sequence[Sample], framing: Framing) -> Iterator[tuple[Sample, GreyView]]:
    for sample in samples:
        try:
            yield sample, grey_view(read_usable(sample, framing.window), framing)
        except (ImageError, OSError):
            continue


def _reference(samples: Sequence[Sample], framing: Framing) -> NDArray[np.uint8] | None:
    """The median of one image of each of the first units: what is not the same on all of them fades."""
    first = {sample.unit: sample for sample in reversed(samples)}
    chosen = [first[unit] for unit in unit_order(samples)[:REFERENCE_IMAGES]]
    shape: tuple[int, int] | None = None
    small: list[FloatMap] = []
    for _, view in _views(chosen, framing):
        shape = shape or reference_shape(view, REFERENCE_SIDE)
        small.append(view.resized(shape))
    return np.median(np.stack(small), axis=0).round().astype(np.uint8) if small else None


def _extremes(
    samples: Sequence[Sample], framing: Framing, reference: FloatMap, advance: Callable[[int], None]
) -> UnitExtremes:
    alignment: Alignment | None = None
    found: dict[str, list[tuple[float, ...]]] = {}
    for sample, view in _views(samples, framing):
        if alignment is None:
            alignment = Alignment(reference, view.judged_in((reference.shape[0], reference.shape[1])))
        place, levels = alignment.of(view), light(view)
        numbers = (sharpness(view), levels.highlights, levels.mean, place.size, place.agreement)
        found.setdefault(sample.unit, []).append(numbers)
        advance(1)
    units = [np.array(rows) for rows in found.values()]
    return UnitExtremes(
        sharpness=np.array([rows[:, 0].min() for rows in units]),
        highlights=np.array([rows[:, 1].min() for rows in units]),
        light=np.array([rows[:, 2].max() for rows in units]),
        size=np.array([rows[:, 3].max() for rows in units]),
        agreement=np.concatenate([rows[:, 4] for rows in units]) if units else np.array([]),
        first=np.array([rows[0, [0, 2, 3]] for rows in units]).reshape(-1, 3),
    )
