"""Which stored values become black and white: the window that an image is looked at through.

It belongs to a line's profile, because a threshold is only valid for the window that it was measured with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from fbclip.errors import ImageError

WindowRule = Literal["dicom", "full", "percentile"]


def _rising(value: WindowRule | tuple[float, float]) -> WindowRule | tuple[float, float]:
    if not isinstance(value, str) and not (all(map(math.isfinite, value)) and value[0] < value[1]):
        raise ValueError(f"a window must rise from a finite number to another, got {value[0]:g} to {value[1]:g}")
    return value


Window = Annotated[WindowRule | tuple[float, float], AfterValidator(_rising)]
"""dicom: what a scan itself says, and of other images the full range; full: all that the file's depth can hold;
percentile: from the 0.5th to the 99.5th percentile of the image or volume; (low, high): in stored values, of scans in
those that their rescaling gives."""
DEFAULT_WINDOW: WindowRule = "dicom"
PERCENTILES = (0.5, 99.5)
_MOST_SAMPLES = 1 << 22
_BLOCK = 1 << 20


def parse_window(text: str) -> Window:
    """`dicom`, `full`, `percentile` or `LOW,HIGH`; raises ValueError for anything else."""
    match text:
        case "dicom" | "full" | "percentile":
            return text
    low, high = (float(part) for part in text.split(","))
    return _rising((low, high))


def percentile_limits(parts: Iterable[NDArray[Any]], total: int) -> tuple[float, float]:
    """The percentiles of `total` values in `parts`, NaN and infinities left out; of more than 4 million every n-th.

    Raises ImageError `flat` where there is no finite value.
    """
    step = max(1, -(-total // _MOST_SAMPLES))
    samples = np.concatenate([np.zeros(0), *(part.ravel()[::step].astype(np.float64) for part in parts)])
    samples = samples[np.isfinite(samples)]
    if not len(samples):
        raise ImageError("flat", "no pixel has a value")
    low, high = np.percentile(samples, PERCENTILES)
    return float(low), float(high)


def through(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Any real array -> uint8 of its shape: `low` and less is 0, `high` and more 255; NaN is 0.

    Where both are equal, all that is more is 255.
    """
    out = np.empty(values.size, np.uint8)
    flat = values.reshape(-1)
    # Whole numbers of 16 bits are exact in float32, which is twice as fast.
    kind = np.float32 if values.dtype.kind in "iu" and values.dtype.itemsize <= 2 else np.float64
    for start in range(0, len(out), _BLOCK):
        part: NDArray[Any] = flat[start : start + _BLOCK].astype(kind)
        if high > low:
            levels = np.rint(np.clip((part - low) * (255 / (high - low)), 0, 255))
        else:
            levels = np.where(part > high, 255.0, 0.0)
        out[start : start + _BLOCK] = np.nan_to_num(levels, nan=0.0).astype(np.uint8)
    return out.reshape(values.shape)
