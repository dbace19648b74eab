"""Surface families that are drawn from parts: tiles, boards, prints, grains, leaves, biscuits.

Each maker takes (H,W) and a generator and gives (H,W,3) float32, about 0..1.
"""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.surfaces.fields import Array, Maker, Size, coordinates, fractal, mix, smooth, unit, white
from calibrate.surfaces.inks import colour, ink, write


def tiled(size: Size, rng: np.random.Generator) -> Array:
    """Tiles with joints; each tile has its own shade."""
    u, v = coordinates(size, rng.normal(0, 0.05))
    period = rng.uniform(36, 110)
    joint = rng.uniform(1.5, 4.5)
    row = np.floor(v / period)
    u = u + (0.5 * period * (row % 2) if rng.random() < 0.4 else 0)
    column = np.floor(u / period)
    edge_u = np.minimum(u % period, period - u % period)
    edge_v = np.minimum(v % period, period - v % period)
    in_tile = np.clip(np.minimum(edge_u, edge_v) - joint / 2, 0, 1)
    shade = np.sin(row * 12.9898 + column * 78.233 + rng.uniform(0, 6)) * rng.uniform(0, 0.06)
    base = colour(rng)
    face = base * (1 + shade[..., None] + 0.06 * fractal(size, rng, 60)[..., None])
    grout = colour(rng, 0.9) * (1 + 0.1 * white(size, rng)[..., None])
    return np.asarray(grout + in_tile[..., None] * (face - grout))


def board(size: Size, rng: np.random.Generator) -> Array:
    """A circuit board: traces, pads, chips, white print."""
    hue = np.array([0.08, 0.38, 0.18]) if rng.random() < 0.6 else rng.uniform(0.05, 0.5, 3)
    base = ink(np.clip(hue + rng.normal(0, 0.04, 3), 0.02, 0.9))
    image = np.full((*size, 3), base, np.float32)
    trace = tuple(min(1.0, c + 0.1) for c in base)
    height, width = size
    pitch = int(rng.integers(7, 16))
    for _ in range(int(rng.integers(15, 40))):
        x, y = (int(rng.integers(0, limit)) // pitch * pitch for limit in (width, height))
        dx, dy = (int(rng.integers(-8, 9)) * pitch for _ in range(2))
        bend = (x + dx, y + dy) if rng.random() < 0.5 else (x + dx, y)
        cv2.polylines(image, [np.array([(x, y), bend, (bend[0], bend[1] + dy)])], False, trace, 2, cv2.LINE_AA)
    metal = ink(np.clip(np.array([0.75, 0.7, 0.55]) + rng.normal(0, 0.08, 3), 0, 1))
    for _ in range(int(rng.integers(10, 50))):
        x, y = (int(rng.integers(0, limit)) // pitch * pitch for limit in (width, height))
        cv2.circle(image, (x, y), int(rng.integers(2, 5)), metal, -1, cv2.LINE_AA)
    for _ in range(int(rng.integers(2, 8))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        w, h = int(rng.integers(12, 60)), int(rng.integers(10, 50))
        for pin in range(x, x + w, 6):
            cv2.line(image, (pin, y - 3), (pin, y + h + 3), metal, 2)
        shade = float(rng.uniform(0.05, 0.25))
        cv2.rectangle(image, (x, y), (x + w, y + h), (shade,) * 3, -1)
        write(image, f"U{x % 97}", (x + 2, y + h // 2), 0.3, (0.8, 0.8, 0.8))
    for _ in range(int(rng.integers(1, 5))):
        # A row of equal two-ended parts with white print beside it.
        x, y, long = int(rng.integers(0, width)), int(rng.integers(0, height)), int(rng.integers(6, 18))
        body = ink(rng.uniform(0.05, 0.7, 3))
        for left in range(x, x + int(rng.integers(2, 9)) * long, long):
            cv2.rectangle(image, (left, y), (left + long // 2, y + long), metal, -1)
            cv2.rectangle(image, (left, y + long // 4), (left + long // 2, y + 3 * long // 4), body, -1)
        write(image, f"R{y % 89}", (x, y - 3), 0.3, (0.85, 0.85, 0.85))
    return image + 0.012 * white(size, rng)[..., None]


def printed(size: Size, rng: np.random.Generator) -> Array:
    """Paper or foil with repeated print: text lines, stripes or dots."""
    paper = np.clip(colour(rng) + 0.25, 0, 1)
    dark = ink(np.clip(colour(rng, 0.2) * 0.7, 0, 1))
    image = np.ones((*size, 3), np.float32) * paper.astype(np.float32)
    height, width = size
    kind = rng.random()
    if kind < 0.45:
        text = "".join(rng.choice(list("ABCDEFGHKLMNPRSTUVXYZ0123456789 "), 40))
        scale = float(rng.uniform(0.35, 0.9))
        for y in range(int(rng.integers(10, 24)), height, int(30 * scale) + 6):
            write(image, text, (-10, y), scale, dark)
    elif kind < 0.7:
        step = int(rng.integers(8, 40))
        for x in range(0, width, step):
            cv2.rectangle(image, (x, 0), (x + step // 2, height), dark, -1)
    else:
        step = int(rng.integers(8, 28))
        for y in range(step // 2, height, step):
            for x in range(step // 2, width, step):
                cv2.circle(image, (x, y), max(1, step // 4), dark, -1, cv2.LINE_AA)
    return image * (1 + 0.03 * smooth(size, 60, rng)[..., None]) + 0.012 * white(size, rng)[..., None]


def perforated(size: Size, rng: np.random.Generator) -> Array:
    """Sheet with a regular grid of holes: dark round spots that belong there."""
    u, v = coordinates(size, rng.uniform(0, np.pi / 2))
    period = rng.uniform(14, 44)
    v2 = v / period
    u2 = u / period + (0.5 * (np.floor(v2) % 2) if rng.random() < 0.5 else 0)
    radius = np.hypot(u2 % 1 - 0.5, v2 % 1 - 0.5) * period
    hole = np.clip(radius - period * rng.uniform(0.18, 0.34), 0, 1)
    sheet = colour(rng) * (1 + 0.08 * fractal(size, rng, 50)[..., None])
    under = colour(rng, 0.8) * 0.3
    return np.asarray(under + hole[..., None] * (sheet - under))


def leaves(size: Size, rng: np.random.Generator) -> Array:
    """Dead leaves: discs and boxes of all sizes that cover each other."""
    palette = [ink(colour(rng, 0.2)) for _ in range(int(rng.integers(3, 12)))]
    image = np.full((*size, 3), palette[0], np.float32)
    radii = np.sort(rng.pareto(1.2, 160) * rng.uniform(3, 7) + 3)[::-1]
    xs, ys = rng.integers(0, size[1], 160), rng.integers(0, size[0], 160)
    choices, boxy = rng.integers(0, len(palette), 160), rng.random() < 0.4
    for r, x, y, choice in zip(radii.clip(max=90).astype(int), xs, ys, choices, strict=True):
        if boxy:
            cv2.rectangle(image, (int(x - r), int(y - r)), (int(x + r), int(y + r)), palette[choice], -1)
        else:
            cv2.circle(image, (int(x), int(y)), int(r), palette[choice], -1, cv2.LINE_AA)
    return image * (1 + 0.05 * smooth(size, 5, rng)[..., None])


def granular(size: Size, rng: np.random.Generator) -> Array:
    """Grains of one size and kind, packed: rice, pellets, gravel."""
    radius = int(rng.integers(4, 13))
    base, spread = colour(rng), float(rng.uniform(0.04, 0.18))
    image = np.ones((*size, 3), np.float32) * base * np.float32(0.4)
    count = int(2.2 * size[0] * size[1] / (radius * radius * 4))
    xs, ys = rng.integers(0, size[1], count), rng.integers(0, size[0], count)
    shades, angles = rng.normal(1, spread, count), rng.integers(0, 180, count)
    long = float(rng.uniform(1, 2))
    for x, y, shade, angle in zip(xs, ys, shades, angles, strict=True):
        face = base * np.float32(shade)
        axes = (int(radius * long), radius)
        centre = (int(x), int(y))
        cv2.ellipse(image, centre, axes, int(angle), 0, 360, ink(face * 0.75), -1)
        cv2.ellipse(image, centre, (axes[0] - 2, axes[1] - 2), int(angle), 0, 360, ink(face), -1)
    return image


def biscuit(size: Size, rng: np.random.Generator) -> Array:
    """Baked dough: brown clouds, fine crumbs and darker chips."""
    brown = np.array([0.78, 0.56, 0.34], np.float32) * np.float32(rng.uniform(0.7, 1.1))
    image = mix(unit(fractal(size, rng, 40, 0.65)), brown * 0.75, np.clip(brown * 1.15, 0, 1))
    chips = cv2.GaussianBlur(white(size, rng), (0, 0), rng.uniform(3, 7))
    chips = np.clip((chips / max(float(chips.std()), 1e-6) - 1.5) * 3, 0, 1)
    return np.asarray(image * (1 - 0.6 * chips[..., None]) + 0.02 * white(size, rng)[..., None])


MAKERS: dict[str, Maker] = {
    "tiled": tiled,
    "circuit board": board,
    "printed": printed,
    "perforated": perforated,
    "mottled": leaves,
    "granular": granular,
    "biscuit": biscuit,
}
