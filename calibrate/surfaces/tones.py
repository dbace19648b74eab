"""Natural colours and the small tools that the newer families share."""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.surfaces.noise import Array, Size, smooth, white

Ink = tuple[float, float, float]


def muted(rng: np.random.Generator, low: float = 0.15, high: float = 0.88) -> Array:
    """A natural colour (3,): mostly low saturation, a little warm or cold, now and then vivid."""
    value = rng.uniform(low, high)
    warmth = rng.normal(0, 0.06)
    spread = 0.2 if rng.random() < 0.07 else 0.025
    cast = np.array([warmth, 0.0, -warmth]) * value
    return np.clip(value + cast + rng.normal(0, spread, 3), 0.03, 0.97).astype(np.float32)


def ink(colour: Array) -> Ink:
    """A colour (3,) as OpenCV takes it."""
    return float(colour[0]), float(colour[1]), float(colour[2])


def scale(size: Size) -> float:
    """Lengths are given at 320 px; this makes them follow the image's side."""
    return min(size) / 320


def coarse(rng: np.random.Generator, low: float, high: float) -> float:
    """Log-uniform: fine and coarse are equally likely."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def two_inks(rng: np.random.Generator, gap: float = 0.25) -> tuple[Array, Array]:
    """Two colours whose brightness differs by at least `gap`."""
    first = muted(rng, 0.03, 0.97)
    value = float(first.mean())
    second = muted(rng, 0.03, max(0.04, value - gap)) if value > 0.5 else muted(rng, min(0.96, value + gap), 0.97)
    return first, second


def toned(field: Array, rng: np.random.Generator, depth: tuple[float, float] = (0.05, 0.25)) -> Array:
    """A field of std about 1 as contrast about one muted colour, (H,W,3)."""
    base = muted(rng)
    field = field / max(float(field.std()), 1e-6)
    return np.asarray(base * (1 + np.float32(rng.uniform(*depth)) * field[..., None]), np.float32)


def finish(image: Array, rng: np.random.Generator, noise: float = 0.012) -> Array:
    """Uneven light, a little blur at times and sensor noise over a drawn image (H,W,3)."""
    height, width = image.shape[:2]
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.9))
    light = 1 + np.float32(rng.uniform(0, 0.06)) * smooth((height, width), max(height, width) * 0.6, rng)
    grain = np.float32(rng.uniform(0, 2 * noise)) * white((height, width), rng)
    return np.asarray(image * light[..., None] + grain[..., None], np.float32)
