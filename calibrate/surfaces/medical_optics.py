"""Scan families taken through a lens: eye grounds, endoscopy, skin, depth scans, stained sections.

Each maker takes (H,W) and a generator and gives (H,W,3) float32, about 0..1; subjects differ in pose, size and
colour, and recordings in noise and uneven field.
"""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.surfaces.fields import (
    Array,
    Maker,
    Size,
    fractal,
    log_uniform,
    ramp,
    relief,
    rotate,
    smooth,
    subject_axes,
    unit,
    white,
)
from calibrate.surfaces.inks import scale
from calibrate.surfaces.radiology import grey


def branch(plane: Array, at: Array, heading: float, wide: float, length: float, rng: np.random.Generator) -> None:
    """A vessel that bends, narrows and forks, drawn in place on an 8-bit plane."""
    steps = 14
    turns = heading + np.cumsum(rng.normal(0, 0.13, steps))
    points = at + np.cumsum(np.stack((np.cos(turns), np.sin(turns)), 1) * (length / steps), axis=0)
    fixed = np.round(np.concatenate((at[None], points)) * 8).astype(np.int32)
    cv2.polylines(plane, [fixed], False, 255, max(1, round(wide)), cv2.LINE_AA, 3)
    if wide < 0.9 or length < 8:
        return
    for side in (-1, 1):
        start = points[int(rng.integers(steps // 2, steps))]
        turn = float(turns[-1] + side * rng.uniform(0.25, 0.7))
        branch(plane, start, turn, wide * 0.68, length * rng.uniform(0.5, 0.8), rng)


def retina(size: Size, rng: np.random.Generator) -> Array:
    """An eye ground: warm disc on black with a bright nerve head and a tree of vessels."""
    height, width = size
    side = min(size)
    x, y = subject_axes(size, rng, 0.01)
    base = np.array([0.75, 0.38, 0.2]) * rng.uniform(0.6, 1.15) + rng.normal(0, 0.05, 3)
    image = np.ones((*size, 3), np.float32) * base.clip(0.05, 1).astype(np.float32)
    image *= (1 + 0.08 * fractal(size, rng, side / 4, 0.6))[..., None]
    hand = float(rng.choice([-1, 1]))
    nerve = (hand * rng.uniform(0.3, 0.55), rng.normal(0, 0.06))
    spot = np.exp(-(((x + 0.15 * hand) ** 2 + y**2) / rng.uniform(0.02, 0.08)))
    image *= (1 - rng.uniform(0.15, 0.4) * spot)[..., None]
    glow = np.hypot(x - nerve[0], y - nerve[1])
    head = ramp(rng.uniform(0.1, 0.15) - glow, 0.05)[..., None]
    image += head * (np.array([0.98, 0.85, 0.6], np.float32) - image) * 0.8
    plane = np.zeros(size, np.uint8)
    origin = np.array([width / 2 + nerve[0] * side / 2, height / 2 + nerve[1] * side / 2])
    toward = np.pi if hand > 0 else 0.0
    for up in (-1, 1):
        for spread in (0.5, 1.0, 1.9):
            heading = toward + up * hand * (spread + rng.normal(0, 0.15))
            branch(plane, origin, heading, side / 75 * rng.uniform(0.7, 1.2), side * rng.uniform(0.25, 0.4), rng)
    vessel = plane.astype(np.float32)[..., None] / 255 * np.float32(rng.uniform(0.35, 0.75))
    image = image + vessel * (base.astype(np.float32) * np.array([0.6, 0.35, 0.4], np.float32) - image)
    edge = np.hypot(x, y)
    image = np.asarray(image * (1.1 - rng.uniform(0.2, 0.5) * edge**2)[..., None], np.float32)
    if rng.random() < 0.8:
        image = np.asarray(image * ramp(rng.uniform(0.9, 1.05) - edge, 0.02)[..., None], np.float32)
    soft = cv2.GaussianBlur(np.asarray(image, np.float32), (0, 0), rng.uniform(0.4, 1.0))
    return np.asarray(soft + 0.01 * white(size, rng)[..., None])


def endoscopy(size: Size, rng: np.random.Generator) -> Array:
    """Inside a tube: wet folds about a dark way on, shining spots, black corners."""
    s = scale(size)
    x, y = subject_axes(size, rng, 0.0)
    cx, cy = rng.normal(0, 0.35, 2)
    radius = np.maximum(np.hypot(x - cx, y - cy) + 0.08 * smooth(size, 80 * s, rng), 0)
    folds = np.sin(np.log(radius + 0.12) * rng.uniform(5, 12) + 0.8 * smooth(size, 90 * s, rng))
    height = rng.uniform(0.3, 1.0) * folds + 0.35 * fractal(size, rng, 70 * s, 0.45)
    lit = unit(relief(cv2.GaussianBlur(np.asarray(height, np.float32), (0, 0), 2 * s + 0.5), rng.uniform(0, 6.28)))
    depth = np.clip((radius / rng.uniform(0.3, 0.8)), 0, 1) ** rng.uniform(0.5, 1.2)
    shade = (0.35 + 0.75 * lit) * (0.12 + 0.88 * depth)
    base = np.clip(np.array([0.85, 0.45, 0.38]) + rng.normal(0, 0.07, 3), 0, 1).astype(np.float32)
    image = shade[..., None] * base
    veins = np.clip(1 - np.abs(fractal(size, rng, 60 * s, 0.6)) * rng.uniform(5, 10), 0, 1) * rng.uniform(0, 0.3)
    image = image * (1 - veins[..., None] * np.array([0.3, 0.8, 0.7], np.float32))
    shine = ramp(lit + 0.05 * fractal(size, rng, 14 * s + 2, 0.6) - rng.uniform(0.74, 0.88), 0.06) * depth
    image = image + shine[..., None] * (0.97 - image) * np.float32(rng.uniform(0.5, 1))
    kind = rng.random()
    corner = np.abs(x) + np.abs(y) - rng.uniform(1.45, 1.7) if kind < 0.5 else np.hypot(x, y) - rng.uniform(0.95, 1.1)
    if kind < 0.85:
        image = image * ramp(-corner, 0.02)[..., None]
    return np.asarray(image + 0.01 * white(size, rng)[..., None])


def skin(size: Size, rng: np.random.Generator) -> Array:
    """Close skin: fine lines, pores, uneven colour and at times hairs."""
    height, width = size
    s = scale(size)
    base = np.array([0.85, 0.64, 0.53]) * rng.uniform(0.35, 1.1) + rng.normal(0, 0.03, 3)
    lines = np.minimum(np.abs(fractal(size, rng, log_uniform(rng, 8, 26) * s + 2, 0.5)), 0.4)
    field = 0.2 * lines + 0.06 * fractal(size, rng, 120 * s, 0.6)
    image = np.asarray(base * (0.95 + rng.uniform(0.4, 1.2) * field[..., None]), np.float32)
    flush = smooth(size, 70 * s, rng)[..., None]
    image = image * (1 + flush * np.array([0.02, -0.04, -0.03], np.float32))
    pores = ramp(smooth(size, log_uniform(rng, 4, 9) * s + 1, rng) - rng.uniform(1.3, 1.9), 0.5)
    image *= (1 - rng.uniform(0.05, 0.25) * pores)[..., None]
    if rng.random() < 0.5:
        hairs, way = np.zeros(size, np.uint8), rng.uniform(0, 6.28)
        for _ in range(int(rng.integers(4, 40))):
            turns = way + rng.normal(0, 0.5) + np.cumsum(rng.normal(0, 0.1, 10))
            moves = np.stack((np.cos(turns), np.sin(turns)), 1) * rng.uniform(3, 14) * s
            path = np.cumsum(moves, axis=0) + rng.uniform(0, 1, 2) * (width, height)
            cv2.polylines(hairs, [np.round(path * 8).astype(np.int32)], False, 255, 1, cv2.LINE_AA, 3)
        image *= 1 - rng.uniform(0.4, 0.8) * hairs[..., None].astype(np.float32) / 255
    if rng.random() < 0.25:
        x, y = subject_axes(size, rng, 0.02)
        image = image * ramp(1.15 - np.hypot(x, y), 0.05)[..., None]
    return np.asarray(image + 0.012 * white(size, rng)[..., None])


def layered(size: Size, rng: np.random.Generator) -> Array:
    """A depth scan: speckled bright and dark layers with a dip, dark above and below."""
    height, width = size
    s = scale(size)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    line = rng.normal(0, 0.08) * x + rng.normal(0, 0.1) * x**2 + 0.015 * smooth((2, width), 90 * s, rng)[0]
    line = line + rng.uniform(0, 0.1) * np.exp(-(((x - rng.normal(0, 0.15)) / 0.2) ** 2))
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    depth = y - rng.uniform(0.25, 0.45) - line[None]
    edges = np.cumsum(rng.uniform(0.02, 0.09, int(rng.integers(4, 9))))
    field = np.zeros(size, np.float32) + np.float32(rng.uniform(0.02, 0.1))
    level, dip = float(field[0, 0]), np.exp(-(((x - 0.0) / 0.25) ** 2))[None]
    for k, edge in enumerate(edges):
        target = rng.uniform(0.45, 0.95) if k % 2 == 0 else rng.uniform(0.12, 0.4)
        field += ramp(depth - edge * (1 - 0.25 * dip * (k < 3)), 0.012) * np.float32(target - level)
        level = float(target)
    below = np.clip(depth - edges[-1], 0, 1)
    field = field * np.exp(-below * rng.uniform(4, 12)) + 0.02
    speckle = np.sqrt(cv2.GaussianBlur(white(size, rng) ** 2 + white(size, rng) ** 2, (0, 0), 0.8 * max(s, 0.5)))
    field = field * (1 + rng.uniform(0.2, 0.6) * (speckle - 1.3))
    return grey(rotate(np.asarray(field, np.float32), rng.normal(0, 0.04)), rng)


def cells(size: Size, rng: np.random.Generator) -> Array:
    """Stained section: dark nuclei in pale tissue with fibres, gaps and rings of cells."""
    s = scale(size)
    stain = rng.random()
    ground = np.array([0.88, 0.66, 0.8]) if stain < 0.7 else rng.uniform(0.6, 0.9, 3)
    nucleus = np.array([0.4, 0.25, 0.55]) if stain < 0.7 else np.array([0.35, 0.25, 0.2])
    ground, nucleus = ((c + rng.normal(0, 0.05, 3)).clip(0, 1).astype(np.float32) for c in (ground, nucleus))
    fibre = fractal(size, rng, log_uniform(rng, 12, 60) * s + 2, 0.55, float(rng.choice([1, 1, 3])))
    image = ground * (1 + rng.uniform(0.04, 0.12) * fibre[..., None])
    if rng.random() < 0.6:
        gap = ramp(smooth(size, log_uniform(rng, 20, 70) * s, rng) - rng.uniform(0.6, 1.1), 0.15)[..., None]
        image = image + gap * (0.95 - image)
    spots = np.zeros(size, np.uint8)
    radius = log_uniform(rng, 2, 7) * max(s, 0.5)
    count = min(500, int(size[0] * size[1] / radius**2 * rng.uniform(0.015, 0.06)))
    xs, ys = rng.integers(0, size[1], count), rng.integers(0, size[0], count)
    if rng.random() < 0.5:
        # Nuclei gather about rings, as in glands.
        middle, about = rng.integers(0, 8, count), rng.uniform(0, 6.28, count)
        rings = rng.uniform(0, 1, (8, 2)) * (size[1], size[0])
        reach = rng.uniform(18, 50, 8)[middle] * s + rng.normal(0, radius, count)
        xs, ys = ((rings[middle, k] + reach * f(about)).astype(int) for k, f in ((0, np.cos), (1, np.sin)))
    radii, longs = rng.normal(radius, radius * 0.2, count).clip(1), rng.uniform(1, 1.8, count)
    for x, y, r, long, angle in zip(xs, ys, radii, longs, rng.uniform(0, 180, count), strict=True):
        turn = float(angle)
        cv2.ellipse(spots, (int(x), int(y)), (int(r * long) + 1, int(r) + 1), turn, 0, 360, int(110 + turn * 0.8), -1)
    depth = cv2.GaussianBlur(spots, (0, 0), 0.8).astype(np.float32)[..., None] / 255 * np.float32(rng.uniform(0.7, 1))
    image = image + depth * (nucleus - image)
    return np.asarray(image + 0.012 * white(size, rng)[..., None])


MAKERS: dict[str, Maker] = {
    "retina": retina,
    "endoscopy": endoscopy,
    "skin": skin,
    "layered": layered,
    "cellular": cells,
}
