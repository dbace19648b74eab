"""What a defect shows in colour and light: each takes (site, alpha (h,w)) and gives (h,w,3), 0..255, for alpha 1."""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.defects.sites import Site, blur
from calibrate.surfaces.families import TRAIN_FAMILIES, WHOLE_FRAME_FAMILIES, surface
from calibrate.surfaces.fields import Array, fractal, relief, smooth
from calibrate.surfaces.inks import colour


def full(site: Site, ink: Array) -> Array:
    """One colour (3,) over the window."""
    return np.broadcast_to(ink.astype(np.float32), site.image.shape).copy()


def streak(site: Site, alpha: Array, rng: np.random.Generator) -> Array:
    """Lighter or darker than what is under it, whichever has room."""
    level = site.level(alpha)
    light = rng.random() < (0.15 if level > 170 else 0.85 if level < 85 else 0.6)
    target = rng.uniform(200, 255) if light else rng.uniform(0, 55)
    return np.asarray(0.2 * site.image + 0.8 * target)


def dark(site: Site, alpha: Array, rng: np.random.Generator) -> Array:
    """Nearly black, with a trace of the surface; light where the surface is black itself."""
    target = rng.uniform(150, 230) if site.level(alpha) < 90 else rng.uniform(0, 40)
    return np.asarray(0.15 * site.image + 0.85 * target)


def stain(site: Site, alpha: Array, rng: np.random.Generator) -> Array:
    """The surface seen through a coloured film, at times with a darker dried rim."""
    ink = colour(rng, 0.2)
    film = np.float32(rng.uniform(0.45, 0.85))
    tinted = site.image * ink if site.level(alpha) > 90 else 255 - (255 - site.image) * ink
    if rng.random() < 0.35:
        rim = np.clip(4 * alpha * (1 - alpha), 0, 1)[..., None]
        film = film * (0.55 + 0.45 * rim)
    return np.asarray(site.image + film * (tinted - site.image))


def tint(site: Site, alpha: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """The same surface in another hue or brightness."""
    gain = np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.3, 3) if rng.random() < 0.65 else np.zeros(3))
    offset = rng.normal(0, 22, 3)
    return np.asarray(np.clip(site.image * gain.astype(np.float32) + offset.astype(np.float32), 0, 255))


def glow(site: Site, alpha: Array, rng: np.random.Generator) -> Array:
    """Locally brighter or darker with a cloudy structure."""
    sign = -1 if site.level(alpha) > 140 else 1
    cloud = 1 + 0.3 * fractal(site.size, rng, max(4.0, 0.6 * site.radius))[..., None]
    return np.asarray(site.image + sign * rng.uniform(45, 110) * cloud)


def mass(site: Site, alpha: Array, rng: np.random.Generator) -> Array:
    """A soft body with a dark core and a bright ring about it, or the other way round."""
    core = np.clip((blur(alpha, max(1.0, 0.35 * site.radius)) - 0.55) * 6, 0, 1)
    sign = -1 if site.level(alpha) > 150 else 1
    cloud = 1 + 0.2 * smooth(site.size, max(3.0, 0.3 * site.radius), rng)
    ring = rng.uniform(40, 110) * cloud * (1 - core * rng.uniform(0.6, 1.9))
    return np.asarray(site.image + sign * ring[..., None].astype(np.float32))


def dent(site: Site, alpha: Array, rng: np.random.Generator) -> Array:
    """Light on one flank and shade on the other, as on a pressed-in or folded place."""
    slope = relief(blur(alpha, max(1.0, 0.25 * site.radius)), rng.uniform(0, 6.28))
    slope = slope / max(float(np.abs(slope).max()), 1e-6)
    return np.asarray(site.image + np.float32(rng.uniform(60, 130)) * slope[..., None] - 12)


def background(site: Site, alpha: Array, rng: np.random.Generator) -> Array:
    """What lies around the object; black or white where the object fills the image."""
    outside = site.whole[::2, ::2][~site.whole_region[::2, ::2]]
    if len(outside) < 0.0125 * site.whole_region.size:
        return full(site, np.full(3, rng.uniform(0, 25) if site.level(alpha) > 100 else rng.uniform(220, 255)))
    middle, spread = np.median(outside, axis=0), outside.std(axis=0).mean() * 0.5
    grain = rng.standard_normal(site.size, dtype=np.float32)[..., None] * np.float32(min(spread, 20.0))
    return np.asarray(full(site, middle) + grain)


def broken(site: Site, alpha: Array, rng: np.random.Generator) -> Array:
    """Background or darkness with a rough rim of bare, lit material."""
    deep = background(site, alpha, rng) if rng.random() < 0.6 else full(site, np.full(3, rng.uniform(3, 35)))
    width = max(1.0, min(0.12 * site.radius, 6.0)) * rng.uniform(0.6, 1.5)
    solid = (alpha > 0.5).astype(np.uint8)
    depth = cv2.distanceTransform(solid, cv2.DIST_L2, 3) + 0.8 * width * smooth(site.size, max(2.0, 2 * width), rng)
    bare = site.image * np.float32(rng.choice([0.55, 0.7, 1.35]))
    rim = np.clip(1 - depth / width, 0, 1)[..., None]
    return np.asarray(deep + rim * (bare - deep), np.float32)


def flat(site: Site, alpha: Array, rng: np.random.Generator) -> Array:
    """Foreign matter of one colour, unlike what is under it, with a little grain."""
    inside = alpha > 0
    under = site.image[inside].mean(axis=0) / 255 if inside.any() else np.full(3, 0.5)
    ink = max((colour(rng, 0.4) for _ in range(3)), key=lambda c: float(np.abs(c - under).max()))
    return full(site, ink * 255) * (1 + 0.08 * smooth(site.size, 5, rng)[..., None])


def burn(site: Site, alpha: Array, rng: np.random.Generator) -> Array:
    """Brown at the edge and nearly black in the middle."""
    brown = np.array([0.45, 0.27, 0.13], np.float32) * np.float32(rng.uniform(0.6, 1.3))
    charred = 255 * brown * (1.15 - np.clip(alpha + 0.15 * smooth(site.size, 6, rng), 0, 1))[..., None]
    return np.asarray(0.8 * charred + 0.2 * site.image * brown)


def liquid(site: Site, alpha: Array, rng: np.random.Generator) -> Array:
    """A drop: darker on the lit side of its rim, brighter opposite, with one highlight."""
    slope = relief(blur(alpha, max(1.0, 0.2 * site.radius)), rng.uniform(0, 6.28))
    slope = slope / max(float(np.abs(slope).max()), 1e-6)
    body = site.image * np.float32(rng.uniform(0.65, 0.95)) + np.float32(rng.uniform(50, 110)) * slope[..., None]
    turn = rng.uniform(0, 6.28)
    at = (round(site.x + 0.4 * site.radius * np.cos(turn)), round(site.y + 0.4 * site.radius * np.sin(turn)))
    cv2.circle(body, at, max(1, round(0.14 * site.radius)), (250.0, 250.0, 250.0), -1, cv2.LINE_AA)
    return np.asarray(body)


def hole(site: Site, alpha: Array, rng: np.random.Generator) -> Array:
    """Dark inside with a shaded rim."""
    level = 200.0 if site.level(alpha) < 50 else rng.uniform(0, 30)
    core = cv2.erode(alpha, np.ones((3, 3), np.uint8))[..., None]
    rim = np.clip(site.image * rng.uniform(0.4, 0.7), 0, 255)
    return np.asarray(rim + core * (level - rim))


def other_surface(site: Site, alpha: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """A different surface, drawn no larger than 128 px and enlarged, since surfaces are dear."""
    names = [n for n in TRAIN_FAMILIES if n not in WHOLE_FRAME_FAMILIES and n != "plain"]
    height, width = site.size
    shrink = min(1.0, 128 / max(height, width))
    small = (max(24, round(height * shrink)), max(24, round(width * shrink)))
    patch = surface(str(rng.choice(names)), small, rng) * 255
    return np.asarray(cv2.resize(patch, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
