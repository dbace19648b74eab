"""Fields (H,W) that surfaces and defects are drawn from: noise, axes, turns, polygons, colours, light on a relief."""

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


def coordinates(size: Size, angle: float) -> tuple[Array, Array]:
    """Pixel coordinates (u, v), float32 (H,W) each, of axes turned by `angle` radians about the middle."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    y -= size[0] / 2
    x -= size[1] / 2
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def subject_axes(size: Size, rng: np.random.Generator, jitter: float = 0.03) -> tuple[Array, Array]:
    """Axes (x, y), float32 (H,W) each, in parts of half the side about a jittered middle, turned a little."""
    u, v = coordinates(size, float(rng.normal(0, 0.08)))
    half = min(size) / 2
    return u / half - np.float32(rng.normal(0, jitter)), v / half - np.float32(rng.normal(0, jitter))


def rotate(field: Array, angle: float) -> Array:
    """A field (H,W) or (H,W,3) turned by `angle` radians; corners are filled by reflection."""
    height, width = field.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), float(np.degrees(angle)), 1.0)
    return np.asarray(cv2.warpAffine(field, matrix, (width, height), borderMode=cv2.BORDER_REFLECT))


def polygon(size: Size, points: Array) -> Array:
    """An anti-aliased polygon through points (n,2) of x, y: float32 (H,W) in 0..1."""
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) / 255


def unit(field: Array) -> Array:
    """The same field moved and scaled to 0..1."""
    low, high = float(field.min()), float(field.max())
    return np.asarray((field - low) / max(high - low, 1e-6), np.float32)


def ramp(field: Array, width: float) -> Array:
    """0 below zero, 1 above it, over a slope `width` wide."""
    return np.clip(field / width + 0.5, 0, 1)


def mix(field: Array, low: Array, high: Array) -> Array:
    """Field (H,W) in 0..1 -> colours (H,W,3) between `low` and `high` (3,)."""
    return np.asarray(low + field[..., None] * (high - low), np.float32)


def relief(height: Array, angle: float) -> Array:
    """Light on a height field (H,W) from direction `angle`: the slope along it, same shape."""
    height = np.asarray(height, np.float32)
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3)
    return np.asarray(np.float32(np.cos(angle)) * slope_x + np.float32(np.sin(angle)) * slope_y)


def to_uint8(image: Array) -> Array:
    """float 0..1 -> uint8."""
    return np.clip(image * 255.0 + 0.5, 0, 255).astype(np.uint8)
