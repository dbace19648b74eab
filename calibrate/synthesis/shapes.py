"""Outlines of defects: each takes the region bool (H,W) and gives alpha float32 (H,W) in 0..1.

Alpha may reach beyond the region; the caller cuts it. Sizes follow the picture's side, so a defect is as large
on a small picture as on a big one.
"""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.synthesis.noise import Array, smooth


def somewhere(region: Array, rng: np.random.Generator) -> tuple[int, int]:
    """A random place (x, y) of the region."""
    flat = np.flatnonzero(region)
    index = int(flat[rng.integers(0, len(flat))])
    return index % region.shape[1], index // region.shape[1]


def side(region: Array) -> float:
    """Length that sizes are measured in: the root of the region's area, at least a quarter of the picture's."""
    return float(max(np.sqrt(region.sum()), 0.25 * np.sqrt(region.size)))


def stroke(region: Array, points: Array, width: int) -> Array:
    """Anti-aliased polyline through points (n,2) of x, y."""
    canvas = np.zeros(region.shape, np.uint8)
    fixed = np.round(points * 16).astype(np.int32)
    cv2.polylines(canvas, [fixed.reshape(-1, 1, 2)], False, 255, width, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) / 255


def walk(
    start: tuple[int, int],
    length: float,
    heading: float,
    wobble: float,
    steps: int,
    rng: np.random.Generator,
    zigzag: float = 0.0,
) -> Array:
    """A path (steps+1, 2): the heading drifts by `wobble` radians (std) a step and jumps about it by `zigzag`."""
    headings = heading + np.cumsum(rng.normal(0, wobble, steps)) + rng.normal(0, zigzag, steps)
    moves = np.stack((np.cos(headings), np.sin(headings)), axis=1) * (length / steps)
    return np.asarray(np.concatenate((np.zeros((1, 2)), np.cumsum(moves, axis=0))) + np.array(start))


def thickness(region: Array, low: float, high: float, rng: np.random.Generator) -> int:
    """Stroke width in px between `low` and `high` at 256 px, wider on larger pictures."""
    scale = max(1.0, float(min(region.shape)) / 256)
    return max(1, round(float(rng.uniform(low, high)) * scale))


def scratch(region: Array, rng: np.random.Generator) -> Array:
    """One to three long, nearly straight, nearly parallel lines."""
    heading = rng.uniform(0, 2 * np.pi)
    x, y = somewhere(region, rng)
    alpha = np.zeros(region.shape, np.float32)
    width = thickness(region, 1.0, 3.4, rng)
    for _ in range(int(rng.integers(1, 4))):
        length = side(region) * rng.uniform(0.25, 0.8)
        x0 = int(x - 0.5 * length * np.cos(heading) + rng.normal(0, 8))
        y0 = int(y - 0.5 * length * np.sin(heading) + rng.normal(0, 8))
        path = walk((x0, y0), length, heading + rng.normal(0, 0.08), 0.03, 12, rng)
        alpha = np.maximum(alpha, stroke(region, path, width))
    return alpha


def crack(region: Array, rng: np.random.Generator) -> Array:
    """A jagged line with branches that grow thinner."""
    start = somewhere(region, rng)
    heading = rng.uniform(0, 2 * np.pi)
    trunk = walk(start, side(region) * rng.uniform(0.35, 0.9), heading, 0.1, 18, rng, 0.6)
    width = thickness(region, 1.5, 3.6, rng)
    alpha = stroke(region, trunk, width)
    for _ in range(int(rng.integers(1, 5))):
        x, y = trunk[int(rng.integers(2, len(trunk)))]
        turn = heading + rng.choice([-1, 1]) * rng.uniform(0.4, 1.2)
        branch = walk((int(x), int(y)), side(region) * rng.uniform(0.1, 0.3), turn, 0.1, 8, rng, 0.6)
        alpha = np.maximum(alpha, stroke(region, branch, max(1, width - 1)))
    return alpha


def blob(region: Array, rng: np.random.Generator, low: float, high: float) -> Array:
    """A signed field, positive inside a random roundish outline of radius low..high parts of the side."""
    x, y = somewhere(region, rng)
    radius = side(region) * rng.uniform(low, high)
    long, angle = rng.uniform(1, 2.2), rng.uniform(0, np.pi)
    ys, xs = np.mgrid[: region.shape[0], : region.shape[1]].astype(np.float32)
    u = (np.cos(angle) * (xs - x) + np.sin(angle) * (ys - y)) / (radius * long)
    v = (np.cos(angle) * (ys - y) - np.sin(angle) * (xs - x)) / radius
    rough = smooth((region.shape[0], region.shape[1]), max(4.0, radius * 0.7), rng)
    return np.asarray(1 - np.hypot(u, v) + rng.uniform(0, 0.35) * rough, np.float32)


def soft_blob(region: Array, rng: np.random.Generator) -> Array:
    """A spot whose edge fades."""
    return np.asarray(np.clip(blob(region, rng, 0.05, 0.2) * rng.uniform(1.5, 5), 0, 1))


def hard_blob(region: Array, rng: np.random.Generator) -> Array:
    """A spot with a sharp edge."""
    return np.asarray(np.clip(blob(region, rng, 0.03, 0.16) * 12, 0, 1))


def bowl(region: Array, rng: np.random.Generator) -> Array:
    """A round spot with a smooth rise, for pressed-in places."""
    field = np.clip(blob(region, rng, 0.06, 0.17), 0, 1)
    return np.asarray(np.clip(field * 4, 0, 1))


def disc(region: Array, rng: np.random.Generator) -> Array:
    """A sharp ellipse."""
    x, y = somewhere(region, rng)
    radius = side(region) * rng.uniform(0.03, 0.1)
    canvas = np.zeros(region.shape, np.uint8)
    axes = (max(2, round(radius * rng.uniform(1, 1.5))), max(2, round(radius)))
    cv2.ellipse(canvas, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1, cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


def deep_disc(region: Array) -> Array:
    """The largest disc (radius at most an eighth of the side) around the region's innermost pixel."""
    depth = cv2.distanceTransform(np.pad(region.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    radius = int(max(2.0, min(float(depth.max()), side(region) / 8)))
    canvas = np.zeros(region.shape, np.float32)
    cv2.circle(canvas, (int(x), int(y)), radius, 1.0, -1)
    return canvas


def piece(region: Array, rng: np.random.Generator) -> Array:
    """A turned rectangle."""
    x, y = somewhere(region, rng)
    w, h = (float(side(region) * rng.uniform(0.08, 0.32)) for _ in range(2))
    box = cv2.boxPoints(((float(x), float(y)), (w, h), float(rng.uniform(0, 90))))
    canvas = np.zeros(region.shape, np.float32)
    cv2.fillConvexPoly(canvas, np.round(box).astype(np.int32), 1.0)
    return canvas


def piece_round(region: Array, rng: np.random.Generator) -> Array:
    """A full circle with a narrow soft rim."""
    return np.asarray(np.clip(blob(region, rng, 0.09, 0.2) * 6, 0, 1))


def bite(region: Array, rng: np.random.Generator) -> Array:
    """A rough spot that begins at the region's edge, so that a part of the outline is gone."""
    inner = cv2.erode(np.pad(region.astype(np.uint8), 1), np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    edge = region & (inner == 0)
    x, y = somewhere(edge if edge.any() else region, rng)
    radius = side(region) * rng.uniform(0.07, 0.2)
    ys, xs = np.mgrid[: region.shape[0], : region.shape[1]].astype(np.float32)
    rough = smooth((region.shape[0], region.shape[1]), max(4.0, radius * 0.4), rng)
    return np.asarray(np.clip((1 - np.hypot(xs - x, ys - y) / radius + 0.25 * rough) * 12, 0, 1), np.float32)


def crumbs(region: Array, rng: np.random.Generator) -> Array:
    """Several small particles near each other."""
    x, y = somewhere(region, rng)
    canvas = np.zeros(region.shape, np.uint8)
    spread = side(region) * rng.uniform(0.04, 0.15)
    for _ in range(int(rng.integers(3, 14))):
        at = (int(x + rng.normal(0, spread)), int(y + rng.normal(0, spread)))
        axes = (thickness(region, 1.5, 6, rng), thickness(region, 1.5, 5, rng))
        cv2.ellipse(canvas, at, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1, cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


def thread(region: Array, rng: np.random.Generator) -> Array:
    """A curled fibre."""
    path = walk(somewhere(region, rng), side(region) * rng.uniform(0.3, 0.9), rng.uniform(0, 6.28), 0.22, 30, rng)
    return stroke(region, path, thickness(region, 1.2, 3.2, rng))
