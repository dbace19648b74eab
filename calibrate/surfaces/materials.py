"""Material families that vary continuously over the frame: metals, cloth, wood, stone, leather, tissue.

Each maker takes (H,W) and a generator and gives (H,W,3) float32, about 0..1.
"""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.surfaces.fields import Array, Maker, Size, coordinates, fractal, mix, relief, rotate, smooth, unit, white
from calibrate.surfaces.inks import colour


def shade(field: Array, rng: np.random.Generator, contrast: tuple[float, float] = (0.08, 0.35)) -> Array:
    """Field (H,W) of any range -> (H,W,3): one base colour, darker and lighter by a random contrast."""
    base = colour(rng)
    depth = rng.uniform(*contrast)
    warm = rng.normal(0, 0.03, 3).astype(np.float32)
    field = (unit(field) - 0.5) * 2
    return np.asarray(base * (1 + depth * field[..., None]) + warm * field[..., None], np.float32)


def brushed(size: Size, rng: np.random.Generator) -> Array:
    """Metal with fine parallel grooves."""
    length = int(rng.integers(15, 90))
    grooves = cv2.blur(white(size, rng), (length, 1)) * np.sqrt(length)
    grooves = rotate(grooves, rng.uniform(0, np.pi)) if rng.random() < 0.7 else grooves
    return shade(grooves + 0.8 * smooth(size, 90, rng), rng, (0.1, 0.35))


def cast(size: Size, rng: np.random.Generator) -> Array:
    """Rough cast metal or plaster, lit from one side."""
    height = fractal(size, rng, rng.uniform(6, 30), rng.uniform(0.6, 0.9))
    return shade(relief(height, rng.uniform(0, 2 * np.pi)), rng, (0.2, 0.6))


def woven(size: Size, rng: np.random.Generator) -> Array:
    """Plain weave of two threads."""
    u, v = coordinates(size, rng.uniform(0, np.pi))
    period = rng.uniform(5, 22)
    a, b = u * (np.pi / period), v * (np.pi / period)
    over = np.sin(a) * np.sin(b) > 0
    thread = np.where(over, np.abs(np.cos(a)), np.abs(np.cos(b)))
    thread = thread * (1 + 0.15 * smooth(size, 12, rng)) + 0.12 * white(size, rng)
    low, high = colour(rng), colour(rng)
    image = mix(np.clip(thread, 0, 1), 0.35 * low, low)
    if rng.random() < 0.4:
        image = np.where(over[..., None], image, mix(np.clip(thread, 0, 1), 0.4 * high, high))
    return np.asarray(image)


def twill(size: Size, rng: np.random.Generator) -> Array:
    """Diagonal cloth with a little fuzz."""
    u, v = coordinates(size, rng.uniform(0, np.pi))
    period = rng.uniform(4, 14)
    ribs = np.sin((u + v) * (np.pi / period)) + 0.5 * np.sin(u * (np.pi / (0.5 * period)))
    return shade(ribs + 0.35 * white(size, rng) + 0.3 * smooth(size, 40, rng), rng, (0.15, 0.45))


def wood(size: Size, rng: np.random.Generator) -> Array:
    """Boards with year rings stretched along the grain."""
    u, v = coordinates(size, rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.06))
    bend = smooth(size, 120, rng) * rng.uniform(4, 18)
    rings = np.sin((v + bend + 0.02 * u) * (2 * np.pi / rng.uniform(9, 32)))
    for _ in range(int(rng.integers(0, 3))):
        # A knot pushes the rings aside: it belongs there.
        far = np.hypot((u - rng.normal(0, 0.3) * size[1]) * 0.5, v - rng.normal(0, 0.3) * size[0])
        knot = np.exp(-((far / (min(size) * rng.uniform(0.03, 0.09))) ** 2))
        rings = rings * (1 - knot) + knot * (np.sin(far * 1.2) - 1.5)
    fibre = cv2.blur(white(size, rng), (31, 1)) * 5
    fibre = rotate(fibre, 0.0) if rng.random() < 0.5 else fibre
    brown = np.array([0.62, 0.44, 0.27], np.float32) * np.float32(rng.uniform(0.5, 1.35))
    field = unit(rings + 0.35 * fibre + 0.3 * smooth(size, 60, rng))
    return mix(field, brown * np.float32(rng.uniform(0.6, 0.85)), np.clip(brown * 1.12, 0, 1))


def leather(size: Size, rng: np.random.Generator) -> Array:
    """Cells with soft valleys, as in hide."""
    dots = np.ones(size, np.uint8)
    count = int(size[0] * size[1] / rng.uniform(25, 130))
    dots[rng.integers(0, size[0], count), rng.integers(0, size[1], count)] = 0
    height = cv2.GaussianBlur(cv2.distanceTransform(dots, cv2.DIST_L2, 3), (0, 0), 1.0)
    lit = relief(height, rng.uniform(0, 6.28)) - 0.4 * height
    return shade(lit + 0.4 * smooth(size, 70, rng), rng, (0.15, 0.5))


def concrete(size: Size, rng: np.random.Generator) -> Array:
    """Grey cloudy ground with grain and small pores."""
    field = fractal(size, rng, 90, 0.55) + 0.5 * white(size, rng)
    pores = smooth(size, rng.uniform(3, 7), rng) > rng.uniform(1.6, 2.2)
    base = shade(field, rng, (0.12, 0.35))
    return np.asarray(np.where(pores[..., None], base * 0.7, base))


def marble(size: Size, rng: np.random.Generator) -> Array:
    """Stone with soft wide veins: busy, and nothing is wrong with it."""
    u, _ = coordinates(size, rng.uniform(0, np.pi))
    field = fractal(size, rng, 110, 0.5)
    veins = 1 - np.abs(np.sin(u * (np.pi / rng.uniform(50, 140)) + 1.6 * field))
    low, high = colour(rng), colour(rng)
    return mix(np.clip(0.7 * veins**2 + 0.12 * field + 0.2, 0, 1), low, low + 0.6 * (high - low))


def noise_field(size: Size, rng: np.random.Generator) -> Array:
    """Coloured noise of a random spectral slope and direction."""
    fall, stretch = rng.uniform(0.4, 1.0), float(rng.choice([1.0, 1.0, 4.0]))
    fields = [fractal(size, rng, rng.uniform(20, 130), fall, stretch) for _ in range(2)]
    low, high, third = colour(rng, 0.2), colour(rng, 0.2), colour(rng, 0.2)
    image = mix(unit(fields[0]), low, high)
    cloud = unit(fields[1])[..., None] - 0.5
    return np.asarray(image + cloud * (third - low) * np.float32(rng.uniform(0.2, 0.8)))


def carpet(size: Size, rng: np.random.Generator) -> Array:
    """Short pile: fine grain in two colours."""
    grain = cv2.GaussianBlur(white(size, rng), (0, 0), rng.uniform(0.7, 2.0))
    field = np.clip(0.5 + rng.uniform(0.15, 0.4) * grain / max(float(grain.std()), 1e-6), 0, 1)
    low = colour(rng)
    return mix(field, low, np.clip(low + rng.uniform(0.12, 0.4), 0, 1).astype(np.float32))


def plain(size: Size, rng: np.random.Generator) -> Array:
    """Smooth paint or plastic: almost one colour."""
    field = smooth(size, 120, rng) + rng.uniform(0, 0.4) * white(size, rng)
    return shade(field, rng, (0.01, 0.1))


def tissue(size: Size, rng: np.random.Generator) -> Array:
    """Soft pink or grey structures with folds, as inside a body."""
    folds = np.abs(fractal(size, rng, rng.uniform(40, 110), 0.45))
    low = np.clip(np.array([0.55, 0.25, 0.28]) + rng.normal(0, 0.08, 3), 0, 1).astype(np.float32)
    high = np.clip(np.array([0.92, 0.62, 0.6]) + rng.normal(0, 0.06, 3), 0, 1).astype(np.float32)
    if rng.random() < 0.4:
        low, high = np.full(3, rng.uniform(0.1, 0.3), np.float32), np.full(3, rng.uniform(0.5, 0.9), np.float32)
    return mix(unit(folds + 0.3 * smooth(size, 90, rng) + 0.05 * white(size, rng)), low, high)


def knurled(size: Size, rng: np.random.Generator) -> Array:
    """Diamond pattern pressed into metal."""
    u, v = coordinates(size, rng.uniform(0, np.pi))
    period = rng.uniform(8, 26)
    height = np.abs(np.sin((u + 0.6 * v) * (np.pi / period))) + np.abs(np.sin((u - 0.6 * v) * (np.pi / period)))
    return shade(height + 0.15 * white(size, rng) + 0.2 * smooth(size, 80, rng), rng, (0.15, 0.4))


MAKERS: dict[str, Maker] = {
    "brushed metal": brushed,
    "cast metal": cast,
    "woven": woven,
    "twill": twill,
    "wooden": wood,
    "leather": leather,
    "concrete": concrete,
    "marble": marble,
    "noisy": noise_field,
    "carpet": carpet,
    "plain": plain,
    "tissue": tissue,
    "knurled": knurled,
}
