"""Families of goods: fabrics, minerals, paper, foam, glass, rounded bodies in rows.

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
    mix,
    relief,
    rotate,
    smooth,
    unit,
    white,
)
from calibrate.surfaces.inks import finish, ink, monochrome, muted_colour, scale, two_inks


def knit(size: Size, rng: np.random.Generator) -> Array:
    """Knitted cloth: columns of V-shaped stitches."""
    s = scale(size)
    u, v = coordinates(size, rng.choice([0, np.pi / 2]) + rng.normal(0, 0.05))
    wide = log_uniform(rng, 6, 30) * s + 2
    u = u + wide * 0.12 * smooth(size, 40 * s, rng)
    across = np.abs((u / wide) % 1 - 0.5) * 2
    row = (v / (wide * 0.8) + across * 0.7) % 1
    yarn = np.sin(np.pi * row) ** 0.7 * (0.45 + 0.55 * np.sin(np.pi * np.clip(across, 0.03, 0.97)))
    low = muted_colour(rng)
    bands = np.zeros(size, np.float32)
    if rng.random() < 0.3:
        bands = np.asarray(v % (wide * rng.uniform(3, 10)) < wide * 1.5, np.float32)
    shade = mix(bands, low, muted_colour(rng))
    fuzz = 0.08 * white(size, rng)
    return np.asarray(shade * (rng.uniform(0.25, 0.6) + 0.6 * yarn + fuzz)[..., None], np.float32)


def felt(size: Size, rng: np.random.Generator) -> Array:
    """Matted fibres in all directions: felt, fleece or grass."""
    s = scale(size)
    field = np.zeros(size, np.float32)
    long, main = max(3, int(log_uniform(rng, 5, 30) * s)), rng.uniform(0, np.pi)
    spread = rng.uniform(0.3, 1.6)
    for _ in range(4):
        kernel = np.zeros((long, long), np.float32)
        turn = main + rng.uniform(-spread, spread)
        way = np.array([np.cos(turn), np.sin(turn)]) * long / 2
        ends = [tuple(int(v) for v in long / 2 + sign * way) for sign in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1.0)
        layer = cv2.filter2D(white(size, rng), -1, kernel / max(float(kernel.sum()), 1))
        field = np.maximum(field, layer / max(float(layer.std()), 1e-6))
    if rng.random() < 0.3:
        green = np.array([0.35, 0.5, 0.2]) * rng.uniform(0.6, 1.4)
        return mix(unit(field), (green * 0.35).astype(np.float32), green.clip(0, 1).astype(np.float32))
    return monochrome(field + 0.3 * smooth(size, 60 * s, rng), rng, (0.05, 0.25))


def mesh(size: Size, rng: np.random.Generator) -> Array:
    """Wire or net over a darker or lighter ground."""
    s = scale(size)
    angle, period = rng.uniform(0, np.pi), log_uniform(rng, 6, 45) * s + 2
    u, v = coordinates(size, angle)
    skew = rng.uniform(0, 0.7) if rng.random() < 0.5 else 0.0
    a, b = u + skew * v + 0.08 * period * smooth(size, 60 * s, rng), v + skew * u
    half = rng.uniform(0.12, 0.3)
    da, db = (np.abs((t / period) % 1 - 0.5) / half for t in (a, b))
    over = (np.floor(a / period) + np.floor(b / period)) % 2 > 0
    wires = np.where(over, np.maximum(1 - da**2, 0.7 * (1 - db**2)), np.maximum(0.7 * (1 - da**2), 1 - db**2))
    ground, wire = two_inks(rng)
    light = wire * (0.4 + 0.6 * np.sqrt(np.clip(wires, 0, 1)))[..., None]
    return finish(np.where(wires[..., None] > 0, light, ground).astype(np.float32), rng)


def patterned(size: Size, rng: np.random.Generator) -> Array:
    """Cloth with a repeated print of simple figures."""
    s = scale(size)
    cell = max(8, int(log_uniform(rng, 16, 90) * s))
    plane = np.zeros((cell, cell), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        x, y = (int(v) for v in rng.uniform(0.25, 0.75, 2) * cell)
        axes = (int(cell * rng.uniform(0.05, 0.25)) + 1, int(cell * rng.uniform(0.05, 0.25)) + 1)
        turn, shade = float(rng.uniform(0, 180)), int(rng.integers(90, 255))
        cv2.ellipse(plane, (x, y), axes, turn, 0, 360, shade, -1, cv2.LINE_AA)
    repeats = (size[0] // cell + 1, size[1] // cell + 1)
    print_ = rotate(np.tile(plane, repeats)[: size[0], : size[1]].astype(np.float32) / 255, rng.normal(0, 0.1))
    u, v = coordinates(size, rng.normal(0, 0.1))
    thread = np.sin(u * rng.uniform(1, 2.4)) * np.sin(v * rng.uniform(1, 2.4))
    low, high = two_inks(rng)
    return finish(mix(print_, low, high) * (1 + 0.08 * thread)[..., None], rng)


def terrazzo(size: Size, rng: np.random.Generator) -> Array:
    """Stone chips of several colours and sizes in a ground colour."""
    s = scale(size)
    image = np.ones((*size, 3), np.float32) * muted_colour(rng, 0.3, 0.9)
    palette = [muted_colour(rng) for _ in range(4)]
    large = log_uniform(rng, 3, 22) * s + 1
    count = min(700, int(size[0] * size[1] / large**2 * rng.uniform(0.1, 0.3)))
    positions, radii = rng.uniform(0, 1, (count, 2)) * (size[1], size[0]), large * rng.uniform(0.3, 1.2, count)
    turns = np.sort(rng.uniform(0, 6.28, (count, 6)), axis=1)
    for k in range(count):
        points = positions[k] + radii[k] * np.stack((np.cos(turns[k]), np.sin(turns[k])), 1)
        shade = ink(palette[k % 4] * (0.9 + 0.2 * turns[k, 0] / 6.28))
        cv2.fillConvexPoly(image, np.round(points * 8).astype(np.int32), shade, cv2.LINE_AA, 3)
    return finish(image, rng)


def asphalt(size: Size, rng: np.random.Generator) -> Array:
    """Coarse grains of varied grey, with dark gaps between."""
    s = scale(size)
    grain = smooth(size, log_uniform(rng, 2, 10) * s + 1, rng) + 0.5 * white(size, rng)
    gaps = np.clip(-smooth(size, log_uniform(rng, 3, 10) * s + 1, rng) - 0.4, 0, 1)
    return monochrome(grain - 1.5 * gaps + 0.2 * smooth(size, 120 * s, rng), rng, (0.15, 0.4))


def paper(size: Size, rng: np.random.Generator) -> Array:
    """Paper or board: pale, cloudy, with short fibres."""
    s = scale(size)
    fibre = fractal(size, rng, log_uniform(rng, 4, 14) * s + 2, 0.8, 3) + fractal(size, rng, 50 * s, 0.6)
    base = np.array([1, 0.97, 0.9]) ** rng.uniform(0, 4) * rng.uniform(0.55, 0.97)
    return np.asarray(base * (1 + rng.uniform(0.01, 0.06) * (fibre + white(size, rng)))[..., None], np.float32)


def foam(size: Size, rng: np.random.Generator) -> Array:
    """Foam or sponge: round pores of several sizes with lit rims."""
    s = scale(size)
    field = np.zeros(size, np.float32)
    cell = log_uniform(rng, 5, 26) * s + 2
    for k in range(3):
        part = smooth(size, cell * 0.6**k + 1.2, rng)
        field = np.maximum(field, np.clip((part - 0.35) * 2.5, 0, 1) * 0.85**k)
    lit = relief(field, rng.uniform(0, 6.28))
    base = muted_colour(rng, 0.4, 0.9)
    return finish(np.asarray(base * (1 - 0.65 * field + 0.15 * lit)[..., None], np.float32), rng)


def glass(size: Size, rng: np.random.Generator) -> Array:
    """Smooth glass or gloss plastic with soft reflections and at times a parting line."""
    s = scale(size)
    u, v = coordinates(size, rng.uniform(0, np.pi))
    u = u + 25 * s * smooth(size, 160 * s, rng)
    image = np.ones((*size, 3), np.float32) * muted_colour(rng)
    image *= (1 + rng.uniform(0, 0.25) * v / max(size))[..., None]
    for _ in range(int(rng.integers(1, 4))):
        wide = log_uniform(rng, 6, 70) * s
        bar = np.clip((wide - np.abs(u - rng.normal(0, 90) * s)) / (wide * rng.uniform(0.1, 1)), 0, 1)
        image += (rng.uniform(0.05, 0.35) * bar)[..., None]
    if rng.random() < 0.35:
        seam = np.clip(1.5 * max(s, 0.5) - np.abs(v - rng.normal(0, 70) * s), 0, 1)
        image *= (1 - rng.uniform(0.1, 0.4) * seam)[..., None]
    return finish(image, rng, 0.006)


def pills(size: Size, rng: np.random.Generator) -> Array:
    """Equal rounded bodies in rows, each lit from one side: pills, beads, pellets."""
    s = scale(size)
    u, v = coordinates(size, rng.normal(0, 0.15))
    period = log_uniform(rng, 12, 70) * s + 3
    tall = period * rng.uniform(0.7, 1.3)
    v2 = v / tall
    u2 = u / period + (0.5 * (np.floor(v2) % 2) if rng.random() < 0.5 else 0)
    x, y = (u2 % 1 - 0.5) * 2.3, (v2 % 1 - 0.5) * 2.3
    power = rng.uniform(2, 5)
    inside = 1 - (np.abs(x) ** power + np.abs(y) ** power)
    dome = np.sqrt(np.clip(inside, 0, 1))
    way = rng.uniform(0, 6.28)
    lit = 0.75 + 0.3 * dome + 0.2 * (np.cos(way) * x + np.sin(way) * y)
    shade = 1 + rng.uniform(0, 0.06) * np.sin(np.floor(u2) * 12.99 + np.floor(v2) * 78.2)
    ground, body = two_inks(rng)
    alpha = np.clip(inside * period / 6, 0, 1)[..., None]
    image = ground + alpha * (body * (lit * shade)[..., None] - ground)
    return finish(np.asarray(image, np.float32), rng)


MAKERS: dict[str, Maker] = {
    "knitted": knit,
    "felt": felt,
    "mesh": mesh,
    "patterned cloth": patterned,
    "terrazzo": terrazzo,
    "asphalt": asphalt,
    "paper": paper,
    "foam": foam,
    "glass": glass,
    "pills": pills,
}
