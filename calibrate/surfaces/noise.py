"""Cheap noise: small random grids enlarged by OpenCV; and the types that all families share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""float32 in 0..1 while an image is being built, uint8 once it is finished; the docstrings say which."""
Size = tuple[int, int]
"""(height, width) in pixels."""
Maker = Callable[[Size, np.random.Generator], Array]
"""Makes one surface: (size, generator) -> float32 (H,W,3), about 0..1."""


def white(size: Size, rng: np.random.Generator) -> Array:
    """Independent N(0,1) float32 (H,W)."""
    return rng.standard_normal(size, dtype=np.float32)


def smooth(size: Size, cell: float, rng: np.random.Generator, stretch: float = 1.0) -> Array:
    """N(0,~0.7) float32 (H,W) that varies over `cell` px down and `cell`·`stretch` px across."""
    rows = max(2, round(size[0] / cell) + 1)
    columns = max(2, round(size[1] / (cell * stretch)) + 1)
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    return np.asarray(cv2.resize(grid, (size[1], size[0]), interpolation=cv2.INTER_CUBIC))


def fractal(size: Size, rng: np.random.Generator, cell: float = 64.0, fall: float = 0.5, stretch: float = 1.0) -> Array:
    """Octaves of smooth noise from `cell` px down to 2 px, each `fall` times the one before; std about 1."""
    total = np.zeros(size, np.float32)
    weight, energy, cell = 1.0, 0.0, max(cell, 2.0)
    while cell >= 2.0:
        total += weight * smooth(size, cell, rng, stretch)
        energy += weight * weight
        weight *= fall
        cell /= 2.0
    return np.asarray(total / (0.75 * np.sqrt(energy)), np.float32)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Between `low` and `high`, every factor equally likely: fine as often as coarse."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
