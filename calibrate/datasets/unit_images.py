"""The first image of each unit, and what a small grey picture of it is: all that is looked at before a model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from calibrate.datasets.sample import Sample
from fbclip.errors import ImageError
from fbclip.images.decode import read_image
from fbclip.images.geometry import RgbImage

SIDE = 32
MOST_UNITS = 3000
"""More are not looked at: they are compared in pairs, and the time grows with the square."""

SmallPicture = NDArray[np.float32]
T = TypeVar("T")


def of_units(samples: Sequence[Sample], measure: Callable[[RgbImage], T]) -> Iterator[tuple[str, T]]:
    """(unit, what `measure` says of its first image), at most MOST_UNITS; units that cannot be read are passed over."""
    first: dict[str, Sample] = {}
    for sample in samples:
        first.setdefault(sample.unit, sample)
    for unit, sample in list(first.items())[:MOST_UNITS]:
        try:
            image = read_image(sample.path).image
        except (ImageError, OSError):
            continue
        yield unit, measure(image)


def small_picture(image: RgbImage) -> SmallPicture:
    """RGB uint8 (H,W,3) -> grey (SIDE,SIDE) in 0..255."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)
