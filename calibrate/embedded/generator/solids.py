"""Bodies with depth: outlines raised to height fields and lit, and bodies of revolution seen from the side."""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.surfaces.fields import Array, Size, coordinates, fractal, log_uniform, smooth


def illuminate(height: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Height field (H,W) in px -> (brightness around 1, highlight 0..1), float32 (H,W) each, one lamp."""
    angle, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.1)
    lamp = np.array([np.cos(angle) * np.sin(tilt), np.sin(angle) * np.sin(tilt), np.cos(tilt)], np.float32)
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1)
    facing = np.clip((lamp[2] - lamp[0] * slope_x - lamp[1] * slope_y) / length, 0, 1)
    ambient = np.float32(rng.uniform(0.35, 0.75))
    gloss = np.float32(log_uniform(rng, 6, 60))
    # Blinn's half vector towards a camera straight above.
    half = lamp + np.array([0, 0, 1], np.float32)
    half = half / np.linalg.norm(half)
    shine = np.clip((half[2] - half[0] * slope_x - half[1] * slope_y) / length, 0, 1) ** gloss
    brightness = ambient + (1 - ambient) * facing / max(float(lamp[2]), 0.3)
    return np.asarray(brightness, np.float32), np.asarray(shine, np.float32)


def height_field(alpha: Array, rng: np.random.Generator) -> Array:
    """Outline float32 (H,W) in 0..1 -> height field in px: a dome, a cushion, a plate with a rounded rim, or a lump."""
    solid = (alpha > 0.5).astype(np.uint8)
    # Where the outline fills the frame there is no edge to measure from.
    depth = np.minimum(cv2.distanceTransform(solid, cv2.DIST_L2, 5), max(alpha.shape) / 2)
    top = max(float(depth.max()), 1.0)
    kind = rng.random()
    if kind < 0.3:
        share = np.clip(depth / top, 0, 1)
        height = top * rng.uniform(0.4, 1.0) * np.sqrt(1 - (1 - share) ** 2)
    elif kind < 0.75:
        rim = max(1.5, top * rng.uniform(0.05, 0.4))
        share = np.clip(depth / rim, 0, 1)
        height = rim * rng.uniform(0.4, 1.0) * np.sqrt(1 - (1 - share) ** 2)
    else:
        share = np.clip(depth / top, 0, 1)
        size = alpha.shape[0], alpha.shape[1]
        bumps = fractal(size, rng, top * rng.uniform(0.25, 0.9), rng.uniform(0.4, 0.65))
        height = top * rng.uniform(0.3, 0.8) * np.sqrt(1 - (1 - share) ** 2) + 0.06 * top * bumps
    return cv2.GaussianBlur(np.asarray(height, np.float32), (0, 0), max(1.0, 0.02 * top))


def body_of_revolution(size: Size, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """A turned body lying or standing, as bottles, screws, caps: (alpha, brightness, highlight), float32 (H,W) each."""
    side = min(size)
    angle = float(rng.choice([0, np.pi / 2, np.pi, -np.pi / 2])) + (rng.uniform(0, np.pi) if rng.random() < 0.3 else 0)
    along, across = coordinates(size, angle)
    reach, widest = side * rng.uniform(0.3, 0.47), side * rng.uniform(0.06, 0.3)
    # Radius in steps along the axis: sections of their own width, joined by shoulders, some with a thread.
    t = np.linspace(-1, 1, 256)
    cuts = np.sort(rng.uniform(-0.9, 0.9, int(rng.integers(0, 5))))
    widths = rng.uniform(0.35, 1.0, len(cuts) + 1)
    radius = widths[np.searchsorted(cuts, t)]
    radius = cv2.GaussianBlur(radius[None].astype(np.float32), (0, 0), float(rng.uniform(0.6, 12)))[0]
    if rng.random() < 0.35:
        section = np.searchsorted(cuts, t) == rng.integers(0, len(widths))
        turns = rng.uniform(10, 40)
        radius = radius - 0.09 * section * (0.5 + 0.5 * np.sin(t * np.pi * turns))
    if rng.random() < 0.4:
        radius = radius * np.clip((1 - np.abs(t)) * rng.uniform(6, 40), 0, 1) ** 0.5
    radius = (radius / radius.max() * widest).astype(np.float32)
    position = along / np.float32(reach)
    local = np.interp(position, t, radius).astype(np.float32)
    offset = across / np.maximum(local, 1e-3)
    alpha = np.clip(local - np.abs(across), 0, 1) * np.clip((1 - np.abs(position)) * reach, 0, 1)
    lamp = rng.uniform(-0.8, 0.8)
    curve = np.sqrt(np.clip(1 - offset**2, 0, 1))
    facing = np.clip(curve * np.sqrt(1 - lamp**2) + offset * lamp, 0, 1)
    groove = np.interp(position, t, np.gradient(radius)).astype(np.float32)
    ambient = rng.uniform(0.3, 0.7)
    brightness = ambient + (1 - ambient) * facing - np.clip(groove * rng.uniform(-1, 1), -0.25, 0.25)
    shine = np.exp(-(((offset - 0.8 * lamp) / rng.uniform(0.05, 0.25)) ** 2))
    return (
        np.asarray(alpha, np.float32),
        np.asarray(brightness, np.float32),
        np.asarray(shine * (0.8 + 0.2 * smooth(size, 30, rng)), np.float32),
    )
