"""Objects: outlines, shading, good details that belong there, and how they lie on a background."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from calibrate.synthesis.lettering import write
from calibrate.synthesis.noise import Array, Size, colour, smooth
from calibrate.synthesis.surfaces import TRAIN_FAMILIES, surface

SHAPES = ("disc", "ring", "plate", "block", "capsule", "gear", "pebble", "cross")


@dataclass(frozen=True)
class Arrangement:
    """A faultless picture float32 (H,W,3) in 0..1, its objects bool (H,W), and the word for their shape."""

    picture: Array
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
    flat = rng.uniform(0.35, 0.6) if shape == "capsule" else rng.uniform(0.7, 1.0)
    return np.stack((radius * np.cos(t), flat * radius * np.sin(t)), axis=1)


def placed(points: Array, centre: tuple[float, float], radius: float, angle: float) -> Array:
    """Polygon moved, scaled and turned into picture coordinates (n,2)."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray((points * radius) @ np.array([[cos, sin], [-sin, cos]]) + np.array(centre))


def filled(size: Size, points: Array) -> Array:
    """Anti-aliased polygon, float32 (H,W) in 0..1."""
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) / 255


def bevel(alpha: Array, rng: np.random.Generator) -> Array:
    """Brightness (H,W) around 1 of a body with a rounded rim, lit from a random side."""
    wide = rng.uniform(1.5, 9)
    soft = cv2.GaussianBlur(alpha, (0, 0), wide)
    angle = rng.uniform(0, 2 * np.pi)
    slope_x = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=3)
    slope_y = cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=3)
    lit = (np.cos(angle) * slope_x + np.sin(angle) * slope_y) * wide
    return np.asarray(1 + rng.uniform(0.05, 0.35) * np.clip(lit, -1, 1), np.float32)


def details(picture: Array, points: Array, rng: np.random.Generator) -> None:
    """Draw parts that belong there, in place: a regular set of holes, a label, an inner line."""
    centre = points.mean(axis=0)
    inks = [tuple(float(c) for c in colour(rng)) for _ in range(2)]
    kind = rng.random()
    if kind < 0.3:
        count, out = int(rng.integers(2, 7)), rng.uniform(0.45, 0.7)
        reach = float(np.abs(points - centre).min(axis=1).max() + np.abs(points - centre).mean()) / 2
        for k in range(count):
            turn = 2 * np.pi * k / count
            at = centre + out * reach * np.array([np.cos(turn), np.sin(turn)])
            cv2.circle(picture, (int(at[0]), int(at[1])), max(2, int(reach * 0.09)), inks[0], -1, cv2.LINE_AA)
    elif kind < 0.55:
        text = "".join(rng.choice(list("ABCDEFHKMNPRTXYZ0123456789"), int(rng.integers(2, 6))))
        at = (int(centre[0] - 9 * len(text) / 2), int(centre[1]))
        write(picture, text, at, float(rng.uniform(0.4, 0.9)), inks[0], int(rng.integers(1, 3)))
    elif kind < 0.8:
        inner = (points - centre) * rng.uniform(0.5, 0.85) + centre
        cv2.polylines(picture, [np.round(inner).astype(np.int32)], True, inks[0], int(rng.integers(1, 4)), cv2.LINE_AA)
    else:
        inner = (points - centre) * rng.uniform(0.25, 0.6) + centre
        cv2.fillPoly(picture, [np.round(inner).astype(np.int32)], inks[1], cv2.LINE_AA)


def backdrop(size: Size, busy: bool, rng: np.random.Generator) -> Array:
    """What objects lie on, float32 (H,W,3)."""
    if not busy:
        base = colour(rng, 0.7) if rng.random() < 0.7 else np.full(3, rng.choice([0.02, 0.97]), np.float32)
        return np.asarray(base * (1 + 0.03 * smooth(size, 100, rng)[..., None]), np.float32)
    return surface(str(rng.choice(TRAIN_FAMILIES)), size, rng)


def arrange(family: str, size: Size, rng: np.random.Generator) -> Arrangement:
    """One large object or a regular set of small ones, made of surface `family`, on a plain or busy ground."""
    shape = str(rng.choice(SHAPES))
    material = surface(family, size, rng)
    ground = backdrop(size, rng.random() < 0.35, rng)
    height, width = size
    points = outline(shape, rng)
    if rng.random() < 0.75:
        radius = min(size) * rng.uniform(0.28, 0.46)
        centre = (width / 2 + rng.normal(0, 0.03) * width, height / 2 + rng.normal(0, 0.03) * height)
        spots = [(centre, radius)]
    else:
        count = int(rng.integers(2, 5))
        step = min(size) / count
        spots = [
            (((i + 0.5) * width / count, (j + 0.5) * height / count), step * 0.38)
            for i in range(count)
            for j in range(count)
        ]
    turn, jitter = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.12)
    alpha = np.zeros(size, np.float32)
    polygons = []
    for centre, radius in spots:
        polygon = placed(points, centre, radius, turn + rng.normal(0, jitter))
        body = filled(size, polygon)
        if shape == "ring":
            body = body * (1 - filled(size, placed(points, centre, radius * 0.55, turn)))
        alpha = np.maximum(alpha, body)
        polygons.append(polygon)
    if shape != "ring" and rng.random() < 0.5:
        state = rng.bit_generator.state
        for polygon in polygons:
            rng.bit_generator.state = state  # the same detail on each copy
            details(material, polygon, rng)
    shadow = cv2.GaussianBlur(np.roll(alpha, (4, 4), (0, 1)), (0, 0), 5)[..., None]
    ground = ground * (1 - np.float32(rng.uniform(0, 0.5)) * shadow)
    body_picture = np.clip(material * bevel(alpha, rng)[..., None], 0, 1)
    picture = ground + alpha[..., None] * (body_picture - ground)
    return Arrangement(np.clip(picture, 0, 1).astype(np.float32), alpha > 0.5, shape)
