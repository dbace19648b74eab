"""What a defect shows: each takes (picture uint8, alpha, region, rng) and gives (H,W,3), 0..255, for alpha 1."""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.synthesis.noise import Array, Size, colour, relief, smooth
from calibrate.synthesis.surfaces import TRAIN_FAMILIES, surface


def _size(picture: Array) -> Size:
    return picture.shape[0], picture.shape[1]


def _level(picture: Array, alpha: Array) -> float:
    """Mean grey level under the defect."""
    inside = alpha > 0
    return float(picture[inside].mean()) if inside.any() else float(picture.mean())


def _full(picture: Array, ink: Array) -> Array:
    return np.broadcast_to(ink.astype(np.float32), picture.shape).copy()


def streak(picture: Array, alpha: Array, region: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """Lighter or darker than what is under it, whichever has room."""
    level = _level(picture, alpha)
    light = rng.random() < (0.15 if level > 170 else 0.85 if level < 85 else 0.6)
    target = rng.uniform(200, 255) if light else rng.uniform(0, 55)
    return np.asarray(0.2 * picture + 0.8 * target)


def dark(picture: Array, alpha: Array, region: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """Nearly black, with a trace of the surface; light where the surface is black itself."""
    target = rng.uniform(150, 230) if _level(picture, alpha) < 90 else rng.uniform(0, 40)
    return np.asarray(0.15 * picture + 0.85 * target)


def stain(picture: Array, alpha: Array, region: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """The surface seen through a coloured film."""
    ink = colour(rng, 0.2)
    film = rng.uniform(0.45, 0.85)
    tinted = picture * ink if _level(picture, alpha) > 90 else 255 - (255 - picture.astype(np.float32)) * ink
    return np.asarray((1 - film) * picture + film * tinted)


def glow(picture: Array, alpha: Array, region: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """Locally brighter or darker with a cloudy structure."""
    sign = -1 if _level(picture, alpha) > 140 else 1
    cloud = 1 + 0.25 * smooth(_size(picture), 9, rng)[..., None]
    return np.asarray(picture + sign * rng.uniform(45, 110) * cloud)


def dent(picture: Array, alpha: Array, region: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """Light on one flank and shade on the other, as on a pressed-in place."""
    slope = relief(cv2.GaussianBlur(alpha, (0, 0), 4), rng.uniform(0, 6.28))
    slope = slope / max(float(np.abs(slope).max()), 1e-6)
    return np.asarray(picture + rng.uniform(60, 130) * slope[..., None] - 18)


def elsewhere(picture: Array, alpha: Array, region: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """Another place of the same picture, turned or mirrored and a little lighter or darker."""
    height, width = _size(picture)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(30, 330)), rng.uniform(0.7, 1.4))
    matrix[:, 2] = matrix[:, 2] + rng.uniform(-0.3, 0.3, 2) * (width, height)
    moved = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved * rng.uniform(0.6, 1.35))


def background(picture: Array, alpha: Array, region: Array, rng: np.random.Generator) -> Array:
    """What lies around the object; black or white where the object fills the picture."""
    outside = picture[~region]
    if len(outside) < 0.05 * region.size:
        return _full(picture, np.full(3, 15.0 if _level(picture, alpha) > 100 else 240.0))
    spread = outside.std(axis=0).mean() * 0.5
    grain = rng.standard_normal(_size(picture), dtype=np.float32)[..., None] * spread
    return np.asarray(_full(picture, np.median(outside, axis=0)) + grain)


def flat(picture: Array, alpha: Array, region: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """Foreign matter of one colour, unlike what is under it, with a little grain."""
    under = picture[alpha > 0].mean(axis=0) / 255 if (alpha > 0).any() else np.full(3, 0.5)
    inks = [colour(rng, 0.4) for _ in range(4)]
    ink = max(inks, key=lambda c: float(np.abs(c - under).max()))
    return _full(picture, ink * 255) * (1 + 0.08 * smooth(_size(picture), 5, rng)[..., None])


def other_surface(picture: Array, alpha: Array, region: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """A different surface."""
    names = [n for n in TRAIN_FAMILIES if n not in ("scanned", "plain")]
    return surface(str(rng.choice(names)), _size(picture), rng) * 255


def hole(picture: Array, alpha: Array, region: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """Dark inside with a lit rim."""
    dark_level = 200.0 if _level(picture, alpha) < 50 else rng.uniform(0, 30)
    core = cv2.erode(alpha, np.ones((3, 3), np.uint8))[..., None]
    rim = np.clip(picture * rng.uniform(0.4, 0.7), 0, 255)
    return np.asarray(rim + core * (dark_level - rim))


def swirl(picture: Array, alpha: Array, region: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """The surface twisted around the defect's middle."""
    height, width = _size(picture)
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    inside = np.argwhere(alpha > 0)
    cy, cx = inside.mean(axis=0) if len(inside) else (height / 2, width / 2)
    turn = np.float32(rng.choice([-1, 1]) * rng.uniform(1.0, 2.5)) * cv2.GaussianBlur(alpha, (0, 0), 5)
    cos, sin = np.cos(turn), np.sin(turn)
    dx, dy = xs - np.float32(cx), ys - np.float32(cy)
    map_x, map_y = cx + cos * dx - sin * dy, cy + sin * dx + cos * dy
    moved = cv2.remap(
        picture, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(moved, np.float32)
