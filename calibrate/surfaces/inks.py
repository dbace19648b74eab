"""What families share: random and natural colours, lettering, and the light, blur and noise of a finished print."""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.surfaces.fields import Array, Size, smooth, white

Ink = tuple[float, ...]
"""A colour as OpenCV's drawing functions take it."""


def colour(rng: np.random.Generator, grey: float = 0.4) -> Array:
    """A random colour (3,) in 0.08..0.95; with probability `grey` nearly grey, else mostly muted."""
    value = rng.uniform(0.12, 0.92)
    spread = 0.03 if rng.random() < grey else float(rng.choice([0.1, 0.15, 0.28]))
    return np.clip(value + rng.normal(0, spread, 3), 0.08, 0.95).astype(np.float32)


def muted_colour(rng: np.random.Generator, low: float = 0.15, high: float = 0.88) -> Array:
    """A natural colour (3,): mostly low saturation, a little warm or cold, now and then vivid."""
    value = rng.uniform(low, high)
    warmth = rng.normal(0, 0.06)
    spread = 0.2 if rng.random() < 0.07 else 0.025
    cast = np.array([warmth, 0.0, -warmth]) * value
    return np.clip(value + cast + rng.normal(0, spread, 3), 0.03, 0.97).astype(np.float32)


def ink(colour: Array) -> Ink:
    """A colour (3,) as OpenCV takes it."""
    return tuple(float(c) for c in colour)


def scale(size: Size) -> float:
    """Lengths are given at 320 px; this makes them follow the image's side."""
    return min(size) / 320


def two_inks(rng: np.random.Generator, gap: float = 0.25) -> tuple[Array, Array]:
    """Two colours whose brightness differs by at least `gap`."""
    first = muted_colour(rng, 0.03, 0.97)
    value = float(first.mean())
    second = (
        muted_colour(rng, 0.03, max(0.04, value - gap))
        if value > 0.5
        else muted_colour(rng, min(0.96, value + gap), 0.97)
    )
    return first, second


def monochrome(field: Array, rng: np.random.Generator, depth: tuple[float, float] = (0.05, 0.25)) -> Array:
    """A field of std about 1 as contrast about one muted colour, (H,W,3)."""
    base = muted_colour(rng)
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


def write(image: Array, text: str, at: tuple[int, int], scale: float, ink: Ink, width: int = 1) -> None:
    """Write `text` with its lower left corner at x, y into a float32 image (H,W,3), in place."""
    canvas = np.zeros(image.shape[:2], np.uint8)
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, width, cv2.LINE_AA)
    rows, columns = np.flatnonzero(canvas.any(axis=1)), np.flatnonzero(canvas.any(axis=0))
    if not len(rows):
        return
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    alpha = canvas[box].astype(np.float32)[..., None] / 255
    image[box] += alpha * (np.array(ink, np.float32) - image[box])
