"""What drift is measured against: limits that a fifth of the calibration's normal units lie beyond. Pure.

One image a unit, the first one, because that is what an agent sees of a part: the worst of several would lie higher.
Of a volume it is the worst of its slices, because that is what a volume's verdict is of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fbclip.frozen import Frozen

TAIL_SHARE = 0.2
"""Far enough out to be about the tail, and enough units beyond to know the rate well."""
MIN_UNITS = 20
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Tails(Frozen):
    """Strictly below `low`, or strictly above `high`, lies a known share; None where that side says nothing."""

    low: Finite | None
    high: Finite | None


class DriftReference(Frozen):
    """`beyond` of `units` lie beyond each limit, at most. Units: what they are worth as independent ones.

    sharpness, light (mean grey level) and displacement (from the reference picture) as picture health measures them;
    None where the profile has no picture limits.
    of_volumes: there were volumes among the units; then z is all that is known of each of them.
    """

    units: int = Field(ge=MIN_UNITS)
    beyond: int = Field(ge=1)
    z: Tails
    sharpness: Tails | None = None
    light: Tails | None = None
    displacement: Tails | None = None
    of_volumes: bool = False

    @property
    def tails(self) -> dict[str, float]:
        """Every limit by its measure and side, as `z_high`."""
        found = {"z": self.z, "sharpness": self.sharpness, "light": self.light, "displacement": self.displacement}
        sides = {f"{name}_{side}": getattr(t, side) for name, t in found.items() for side in ("low", "high") if t}
        return {name: value for name, value in sides.items() if value is not None}


def drift_reference(
    z: NDArray[np.float64], pictures: Mapping[str, NDArray[np.float64]], worth: int, of_volumes: bool = False
) -> DriftReference | None:
    """z and picture measures of normal units, one image or volume each, (n,) -> the reference; None for too few units.

    worth: how many independent units they are worth. of_volumes: there are volumes among them.
    """
    pictures = {} if of_volumes else pictures
    worth = min(worth, len(z))
    if worth < MIN_UNITS or any(len(values) < MIN_UNITS for values in pictures.values()):
        return None
    tails = {name: _tails(values) for name, values in {"z": z, **pictures}.items()}
    if "displacement" in tails:
        # A picture that lies nearer than usual is no fault.
        tails["displacement"] = tails["displacement"].model_copy(update={"low": None})
    worth = min([worth, *map(len, pictures.values())])
    return DriftReference(units=worth, beyond=math.ceil(TAIL_SHARE * worth), of_volumes=of_volumes, **tails)


def _tails(values: NDArray[np.float64]) -> Tails:
    ordered = np.sort(values).astype(np.float32)
    beyond = math.floor(TAIL_SHARE * len(ordered))
    return Tails(low=_rounded(ordered[beyond]), high=_rounded(ordered[-1 - beyond]))


def _rounded(value: np.float32) -> float:
    """As short as a float32 can be written, so that equal values still are equal."""
    return float(str(value))
