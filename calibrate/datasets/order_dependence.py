"""Whether the pictures of units depend on those before them: all that can be asked of an order before a model runs.

The test: the lag-1 autocorrelation of the ranks of four measures of each unit's first image against random orders (see
`statistics.serial`), each at a quarter of LEVEL, so that independent units are called dependent in one data set of a
hundred at most. The fourth is the largest principal component of the small grey pictures: it does not look at the
order, so the test stays exact.

It is a warning and no proof in either direction. What a threshold counts on is z, which it tests itself: z may follow
none of these, or something that none of them shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibrate.datasets.capture_order import CaptureOrder
from calibrate.datasets.unit_images import SmallPicture, small_picture
from calibrate.statistics.serial import FEWEST, LEVEL, ORDERS, serial_dependence
from fbclip.images.framing import Framing
from fbclip.images.geometry import RgbImage
from fbclip.picture_health.grey_view import grey_view
from fbclip.picture_health.sharpness import sharpness

PictureMeasure = Literal["brightness", "contrast", "sharpness", "form"]
_MEASURES: tuple[PictureMeasure, ...] = ("brightness", "contrast", "sharpness", "form")


@dataclass(frozen=True, eq=False)
class UnitPicture:
    """What is kept of an image: it as a small grey one, and how sharp it was."""

    small: SmallPicture
    sharpness: float


@dataclass(frozen=True)
class DependentMeasure:
    """lag1: correlation of the ranks of neighbours; effective: so many independent units these would be worth."""

    measure: PictureMeasure
    lag1: float
    p_value: float
    effective: int


@dataclass(frozen=True)
class OrderDependence:
    """units: how many were looked at, in the order of `by`; found: the measures that depend on it, none if too few."""

    by: Literal["time", "name"]
    units: int
    found: tuple[DependentMeasure, ...]

    @property
    def tested(self) -> bool:
        return self.units >= FEWEST

    @property
    def effective(self) -> int:
        """What the units would be worth if z followed the measure that depends most."""
        return min([self.units, *(one.effective for one in self.found)])


def unit_picture(image: RgbImage) -> UnitPicture:
    """RGB uint8 (H,W,3), at least one pixel."""
    return UnitPicture(small_picture(image), sharpness(grey_view(image, Framing())))


def order_dependence(pictures: Mapping[str, UnitPicture], order: CaptureOrder) -> OrderDependence:
    """`pictures`: of units, of which those in `order` count."""
    units = [unit for unit in order.units if unit in pictures]
    if len(units) < FEWEST:
        return OrderDependence(order.by, len(units), ())
    found = []
    for name, values in _values([pictures[unit] for unit in units]).items():
        one = serial_dependence(values, LEVEL / len(_MEASURES))
        if one is not None and one.dependent:
            found.append(DependentMeasure(name, one.lag1, one.p_value, one.effective))
    return OrderDependence(order.by, len(units), tuple(found))


def dependence_text(found: OrderDependence) -> str:
    """One or two sentences on what was tested and what it means for the number of units."""
    by = "capture (collect.csv)" if found.by == "time" else "their file names"
    if not found.tested:
        return f"{found.units} units are too few to test whether they depend on each other in the order of {by}"
    test = f"lag 1 of ranks against {ORDERS} random orders, {LEVEL:.0%} in all"
    if not found.found:
        return (
            f"{', '.join(_MEASURES)} of {found.units:,} units show no dependence in the order of {by} ({test}); "
            "a threshold tests z itself"
        )
    shown = ", ".join(f"{one.measure} (correlation {one.lag1:.2f}, p = {one.p_value:.3f})" for one in found.found)
    return (
        f"{found.units:,} units depend on those before them in the order of {by}: {shown}; {test}. If z follows that, "
        f"they count as about {found.effective:,}: collect over a longer time, and see what a threshold finds of z"
    )


def _values(pictures: list[UnitPicture]) -> dict[PictureMeasure, NDArray[np.float64]]:
    small = np.stack([one.small.ravel() for one in pictures]).astype(np.float64)
    forms = small - small.mean(axis=1, keepdims=True)
    forms /= np.maximum(forms.std(axis=1, keepdims=True), 1e-9)
    # Of n pictures only n - 1 directions differ, so the small one of the two products is enough.
    centred = forms - forms.mean(axis=0)
    strengths, directions = np.linalg.eigh(centred @ centred.T)
    return {
        "brightness": small.mean(axis=1),
        "contrast": small.std(axis=1),
        "sharpness": np.array([one.sharpness for one in pictures]),
        "form": directions[:, -1] * np.sqrt(max(0.0, float(strengths[-1]))),
    }
