"""Sheet families: worked metals, paint, foil, corrugated sheet.

Each maker takes (H,W) and a generator and gives (H,W,3) float32, about 0..1; scales run from fine to coarse.
"""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.surfaces.fields import (
    Array,
    Maker,
    Size,
    coordinates,
    fractal,
    log_uniform,
    relief,
    rotate,
    smooth,
    white,
)
from calibrate.surfaces.inks import monochrome, muted_colour, scale


def rolled(size: Size, rng: np.random.Generator) -> Array:
    """Hot-rolled metal: grey, cloudy, with long rolling lines and scale marks."""
    s = scale(size)
    lines = fractal(size, rng, log_uniform(rng, 4, 16) * s + 2, 0.7, 12)
    cloud = fractal(size, rng, log_uniform(rng, 30, 140) * s, 0.6, float(rng.choice([1, 3])))
    marks = np.clip(fractal(size, rng, log_uniform(rng, 8, 30) * s, 0.6, 2) - rng.uniform(0.8, 1.6), 0, 1)
    field = rng.uniform(0.2, 1) * lines + cloud + 0.3 * white(size, rng) - rng.uniform(0, 2) * marks
    field = rotate(field, np.pi / 2) if rng.random() < 0.5 else field
    return monochrome(field, rng, (0.05, 0.25))


def milled(size: Size, rng: np.random.Generator) -> Array:
    """Milled or ground metal: overlapping arcs of tool marks."""
    s = scale(size)
    x, y = coordinates(size, rng.uniform(0, 6.28))
    period, reach = log_uniform(rng, 3, 24) * s + 1, rng.uniform(0.6, 3) * min(size)
    phase = (np.sqrt(np.maximum(reach**2 - np.clip(y, -reach, reach) ** 2, 0)) - x) / period
    marks = np.sin(phase * 2 * np.pi + smooth(size, 50 * s, rng)) + 0.5 * np.sin(phase * 3.7)
    fine = cv2.blur(white(size, rng), (5, 1))
    return monochrome(marks * (1 + 0.4 * smooth(size, 60 * s, rng)) + fine, rng, (0.04, 0.2))


def spun(size: Size, rng: np.random.Generator) -> Array:
    """Turned metal: fine rings about a centre and bright opposite sectors."""
    x, y = coordinates(size, 0.0)
    x, y = x - rng.normal(0, 0.3) * size[1], y - rng.normal(0, 0.3) * size[0]
    radius, turn = np.hypot(x, y), np.arctan2(y, x)
    table = cv2.GaussianBlur(white((1, 2048), rng), (0, 0), log_uniform(rng, 0.6, 3))[0]
    rings = table[np.minimum(radius, 2047).astype(np.int32)] / table.std()
    sheen = np.cos(2 * (turn - rng.uniform(0, 3.14))) * rng.uniform(0.3, 2)
    return monochrome(rings + sheen + 0.3 * white(size, rng), rng, (0.06, 0.22))


def paint(size: Size, rng: np.random.Generator) -> Array:
    """Paint with orange peel: shallow bumps under one light."""
    s = scale(size)
    bumps = smooth(size, log_uniform(rng, 3, 14) * s + 1.5, rng)
    lit = relief(bumps, rng.uniform(0, 6.28))
    light = rng.uniform(0, 1.5) * smooth(size, 200 * s, rng)
    return monochrome(lit / max(float(lit.std()), 1e-6) + light, rng, (0.02, 0.14))


def foil(size: Size, rng: np.random.Generator) -> Array:
    """Wrinkled foil or film: flat facets with sharp ridges and shine."""
    s = scale(size)
    height = -np.abs(fractal(size, rng, log_uniform(rng, 30, 140) * s, 0.5))
    lit = relief(cv2.GaussianBlur(height, (0, 0), 1.0), rng.uniform(0, 6.28))
    lit = lit / max(float(lit.std()), 1e-6)
    base = muted_colour(rng, 0.3, 0.8)
    image = base * (1 + rng.uniform(0.1, 0.35) * lit[..., None])
    return np.asarray(image + np.clip(lit - 1.2, 0, 1)[..., None] * rng.uniform(0.1, 0.5), np.float32)


def corrugated(size: Size, rng: np.random.Generator) -> Array:
    """Parallel waves or folds of sheet or board."""
    s = scale(size)
    u, _ = coordinates(size, rng.uniform(0, np.pi))
    t = u / (log_uniform(rng, 8, 60) * s + 2) + 0.02 * smooth(size, 120 * s, rng)
    wave = np.tanh(np.sin(2 * np.pi * t) * rng.uniform(0.5, 4))
    return monochrome(wave + 0.15 * fractal(size, rng, 40 * s, 0.6), rng, (0.08, 0.3))


MAKERS: dict[str, Maker] = {
    "rolled metal": rolled,
    "milled metal": milled,
    "turned metal": spun,
    "painted": paint,
    "foil": foil,
    "corrugated": corrugated,
}
