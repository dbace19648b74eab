"""Objects: outlines and bodies of revolution, made of a surface, with normal parts, on a background."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from calibrate.embedded.generator.assemblies import furnish
from calibrate.embedded.generator.solids import body_of_revolution, height_field, illuminate
from calibrate.surfaces.families import TRAIN_FAMILIES, WHOLE_FRAME_FAMILIES, surface
from calibrate.surfaces.fields import Array, Size, coordinates, polygon, smooth, white
from calibrate.surfaces.inks import colour

SHAPES = ("disc", "ring", "plate", "block", "capsule", "gear", "pebble", "cross")
REVOLUTION = "bottle"
_REVOLUTION_SHARE = 0.2
_GROUNDS = tuple(name for name in TRAIN_FAMILIES if name not in WHOLE_FRAME_FAMILIES)


@dataclass(frozen=True)
class Arrangement:
    """A faultless image float32 (H,W,3) in 0..1, its objects bool (H,W), and the word for their shape."""

    image: Array
    region: Array
    shape: str


def outline(shape: str, rng: np.random.Generator) -> Array:
    """Closed polygon (n,2) around the origin, radius about 1."""
    t = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    if shape == "gear":
        radius = 1 - 0.14 * (np.sin(t * int(rng.integers(6, 12))) > 0)
    elif shape == "pebble":
        radius = np.ones_like(t)
        for k in range(2, 6):
            radius += rng.normal(0, 0.22 / k) * np.sin(k * t + rng.uniform(0, 6.28))
    elif shape in ("plate", "block", "capsule"):
        # A superellipse: from nearly round to nearly rectangular.
        power = {"plate": 8.0, "block": 14.0, "capsule": 3.5}[shape]
        radius = (np.abs(np.cos(t)) ** power + np.abs(np.sin(t)) ** power) ** (-1 / power)
    elif shape == "cross":
        radius = 0.62 + 0.38 * np.sign(np.cos(4 * t)) * 0.9
    else:
        radius = np.ones_like(t)
    if rng.random() < 0.35:
        # Nothing that was cast, cut or baked is exact.
        for k in range(3, 9):
            radius = radius + rng.normal(0, 0.05 / k) * np.sin(k * t + rng.uniform(0, 6.28))
    flat = rng.uniform(0.35, 0.6) if shape == "capsule" else rng.uniform(0.7, 1.0)
    return np.stack((radius * np.cos(t), flat * radius * np.sin(t)), axis=1)


def place(points: Array, centre: tuple[float, float], radius: float, angle: float) -> Array:
    """Polygon moved, scaled and turned into image coordinates (n,2)."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray((points * radius) @ np.array([[cos, sin], [-sin, cos]]) + np.array(centre))


def material(family: str, size: Size, rng: np.random.Generator) -> Array:
    """A surface float32 (H,W,3), often so weak that form and light dominate, as on moulded or painted parts."""
    skin = surface(family, size, rng)
    strength = np.float32(1.0 if rng.random() < 0.35 else rng.uniform(0.05, 0.8))
    base = skin.mean(axis=(0, 1)) if rng.random() < 0.5 else colour(rng)
    return np.asarray(base + strength * (skin - skin.mean(axis=(0, 1))), np.float32)


def backdrop(size: Size, busy: bool, rng: np.random.Generator) -> Array:
    """What objects lie on, float32 (H,W,3): even with the lamp's gradient and vignette, or another surface."""
    if busy:
        return surface(str(rng.choice(_GROUNDS)), size, rng)
    base = colour(rng, 0.75)
    if rng.random() < 0.45:
        base = np.full(3, rng.choice([0.03, 0.12, 0.5, 0.85, 0.97]), np.float32)
    u, v = coordinates(size, rng.uniform(0, 2 * np.pi))
    light = 1 + rng.uniform(0, 0.2) * u / max(size) - rng.uniform(0, 0.35) * (np.hypot(u, v) / max(size)) ** 2
    light = light + 0.02 * smooth(size, 100, rng) + rng.uniform(0, 0.04) * white(size, rng)
    return np.asarray(base * light[..., None], np.float32)


def arrange(family: str, size: Size, rng: np.random.Generator) -> Arrangement:
    """One large object or a regular set of small ones, made of surface `family`, on a plain or busy ground."""
    skin = material(family, size, rng)
    ground = backdrop(size, rng.random() < 0.25, rng)
    if rng.random() < _REVOLUTION_SHARE:
        shape = REVOLUTION
        alpha, brightness, shine = body_of_revolution(size, rng)
        if rng.random() < 0.5:
            middle, reach = np.array([size[1] / 2, size[0] / 2]), 0.16 * min(size)
            furnish(skin, place(outline("plate", rng), (middle[0], middle[1]), reach, 0.0), rng)
    else:
        shape = str(rng.choice(SHAPES))
        alpha, outlines = lay_out(shape, size, rng)
        state = rng.bit_generator.state
        for points in outlines:
            rng.bit_generator.state = state  # the same parts on each copy
            furnish(skin, points, rng)
        brightness, shine = illuminate(height_field(alpha, rng), rng)
    gloss = np.float32(rng.uniform(0, 0.5) * (rng.random() < 0.6))
    body = np.clip(skin * brightness[..., None] + gloss * shine[..., None], 0, 1)
    shadow = cv2.GaussianBlur(np.roll(alpha, (4, 4), (0, 1)), (0, 0), float(rng.uniform(2, 9)))[..., None]
    ground = ground * (1 - np.float32(rng.uniform(0, 0.5) * (rng.random() < 0.7)) * shadow)
    image = ground + alpha[..., None] * (body - ground)
    return Arrangement(np.clip(image, 0, 1).astype(np.float32), alpha > 0.5, shape)


def lay_out(shape: str, size: Size, rng: np.random.Generator) -> tuple[Array, list[Array]]:
    """Copies of one outline: their alpha (H,W) together, and the polygon (n,2) of each."""
    height, width = size
    points = outline(shape, rng)
    if rng.random() < 0.75:
        radius = min(size) * (rng.uniform(0.28, 0.47) if rng.random() < 0.8 else rng.uniform(0.5, 0.8))
        centre = (width / 2 + rng.normal(0, 0.03) * width, height / 2 + rng.normal(0, 0.03) * height)
        spots = [(centre, radius)]
    else:
        rows, columns = int(rng.integers(1, 5)), int(rng.integers(2, 5))
        step = min(height / rows, width / columns)
        spots = [
            (((i + 0.5) * width / columns, (j + 0.5) * height / rows), step * 0.4)
            for i in range(columns)
            for j in range(rows)
        ]
    turn = rng.uniform(0, 2 * np.pi) if rng.random() < 0.5 else float(rng.choice([0, np.pi / 2]))
    jitter, hollow = rng.uniform(0, 0.12), rng.uniform(0.25, 0.7)
    alpha, outlines = np.zeros(size, np.float32), []
    for centre, radius in spots:
        copy = place(points, centre, radius, turn + rng.normal(0, jitter))
        body = polygon(size, copy)
        if shape == "ring":
            body = body * (1 - polygon(size, place(points, centre, radius * hollow, turn)))
        elif len(spots) == 1 and rng.random() < 0.15:
            body = np.maximum(body, legs(size, centre, radius, turn, rng))
        alpha = np.maximum(alpha, body)
        outlines.append(copy)
    return np.asarray(alpha, np.float32), outlines


def legs(size: Size, centre: tuple[float, float], radius: float, turn: float, rng: np.random.Generator) -> Array:
    """Equal pins that stand out on one side or two, float32 (H,W) in 0..1."""
    count, long = int(rng.integers(2, 8)), rng.uniform(1.15, 1.6)
    wide = rng.uniform(0.2, 0.5) / count
    alpha = np.zeros(size, np.float32)
    low = -long if rng.random() < 0.6 else 0.0
    for at in (np.arange(count) + 0.5) / count * 1.4 - 0.7:
        pin = np.array([[at - wide, low], [at + wide, low], [at + wide, long], [at - wide, long]])
        alpha = np.maximum(alpha, polygon(size, place(pin, centre, radius, turn)))
    return alpha
