"""Outlines of defects: each takes a site and gives alpha float32 (h,w) in 0..1 of its window.

Alpha may reach beyond the region; the caller cuts it. Sizes follow the site's radius.
"""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.defects.sites import Site
from calibrate.surfaces.fields import Array, fractal, log_uniform, polygon, smooth


def stroke(size: tuple[int, int], points: Array, width: int) -> Array:
    """Anti-aliased polyline through points (n,2) of x, y."""
    canvas = np.zeros(size, np.uint8)
    fixed = np.round(points * 16).astype(np.int32)
    cv2.polylines(canvas, [fixed.reshape(-1, 1, 2)], False, 255, width, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) / 255


def walk(
    middle: tuple[float, float],
    length: float,
    heading: float,
    wobble: float,
    steps: int,
    rng: np.random.Generator,
    zigzag: float = 0.0,
) -> Array:
    """A path (steps+1, 2) about `middle`: the heading drifts by `wobble` radians a step and jumps by `zigzag`."""
    headings = heading + np.cumsum(rng.normal(0, wobble, steps)) + rng.normal(0, zigzag, steps)
    moves = np.stack((np.cos(headings), np.sin(headings)), axis=1) * (length / steps)
    path = np.concatenate((np.zeros((1, 2)), np.cumsum(moves, axis=0)))
    return np.asarray(path - path[steps // 2] + np.array(middle))


def thickness(site: Site, low: float, high: float, rng: np.random.Generator) -> int:
    """Stroke width in px, log-uniform between `low` and `high` at 256 px, wider on larger images."""
    return max(1, round(log_uniform(rng, low, high) * site.scale))


def soften(alpha: Array, most: float, rng: np.random.Generator) -> Array:
    """Alpha with its edge blurred by up to `most` px in half of the cases."""
    if rng.random() < 0.5:
        return alpha
    soft = cv2.GaussianBlur(alpha, (0, 0), float(rng.uniform(0.5, most)))
    return np.asarray(soft / max(float(soft.max()), 1e-6), np.float32)


def scratch(site: Site, rng: np.random.Generator) -> Array:
    """One to four long, nearly straight, nearly parallel lines."""
    heading = rng.uniform(0, 2 * np.pi)
    alpha = np.zeros(site.size, np.float32)
    width = thickness(site, 1.0, 4.0, rng)
    length = max(16.0 * site.scale, site.radius * rng.uniform(2.0, 5.0))
    spread = max(2.0, 0.4 * site.radius)
    for _ in range(int(rng.integers(1, 5))):
        at = (site.x + rng.normal(0, spread), site.y + rng.normal(0, spread))
        path = walk(at, length * rng.uniform(0.4, 1), heading + rng.normal(0, 0.08), 0.03, 12, rng)
        alpha = np.maximum(alpha, stroke(site.size, path, width) * rng.uniform(0.6, 1))
    return alpha


def crack(site: Site, rng: np.random.Generator) -> Array:
    """A jagged line with branches that grow thinner."""
    heading = rng.uniform(0, 2 * np.pi)
    length = max(16.0 * site.scale, site.radius * rng.uniform(2.5, 5.5))
    trunk = walk((site.x, site.y), length, heading, 0.1, 18, rng, 0.6)
    width = thickness(site, 1.2, 4.0, rng)
    alpha = stroke(site.size, trunk, width)
    for _ in range(int(rng.integers(0, 5))):
        x, y = trunk[int(rng.integers(2, len(trunk)))]
        turn = heading + rng.choice([-1, 1]) * rng.uniform(0.4, 1.2)
        branch = walk((x, y), length * rng.uniform(0.2, 0.6), turn, 0.1, 8, rng, 0.6)[4:]
        alpha = np.maximum(alpha, stroke(site.size, branch, max(1, width - 1)))
    return alpha


def blob_field(site: Site, rng: np.random.Generator, rough: float = 0.35, longest: float = 2.6) -> Array:
    """A signed field (h,w), 1 in the middle and 0 on a random roundish outline of the site's area."""
    dx, dy = site.grid()
    # Mostly compact: a long outline is the exception.
    long, angle = 1 + (longest - 1) * float(rng.random()) ** 2, float(rng.uniform(0, np.pi))
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    wide = np.float32(site.radius * np.sqrt(long))
    narrow = np.float32(site.radius / np.sqrt(long))
    distance = np.hypot((cos * dx + sin * dy) / wide, (cos * dy - sin * dx) / narrow)
    noise = smooth(site.size, max(3.0, site.radius * rng.uniform(0.3, 0.8)), rng)
    return np.asarray(1 - distance + np.float32(rng.uniform(0, rough)) * noise, np.float32)


def soft_blob(site: Site, rng: np.random.Generator) -> Array:
    """A spot whose edge fades."""
    return np.asarray(np.clip(blob_field(site, rng) * rng.uniform(1.3, 5), 0, 1))


def hard_blob(site: Site, rng: np.random.Generator) -> Array:
    """A spot with a sharp edge."""
    return np.asarray(np.clip(blob_field(site, rng) * max(4.0, site.radius), 0, 1))


def any_blob(site: Site, rng: np.random.Generator) -> Array:
    """A spot with a sharp or a soft edge."""
    return hard_blob(site, rng) if rng.random() < 0.5 else soft_blob(site, rng)


def disc(site: Site, rng: np.random.Generator) -> Array:
    """A smooth ellipse with a nearly sharp edge."""
    return np.asarray(np.clip(blob_field(site, rng, 0.06, 1.8) * max(3.0, site.radius), 0, 1))


def piece(site: Site, rng: np.random.Generator) -> Array:
    """A turned rectangle, triangle or other polygon of three to six corners."""
    corners = int(rng.integers(3, 7))
    turns = np.sort(rng.uniform(0, 2 * np.pi) + np.arange(corners) * 2 * np.pi / corners + rng.normal(0, 0.15, corners))
    reach = site.radius * rng.uniform(0.9, 1.5, corners)
    points = np.stack((site.x + reach * np.cos(turns), site.y + reach * np.sin(turns)), axis=1)
    return soften(polygon(site.size, points), 2.0, rng)


def bite(site: Site, rng: np.random.Generator) -> Array:
    """A rough notch; on a site at the rim a part of the outline is gone."""
    return np.asarray(np.clip(blob_field(site, rng, 0.6, 1.8) * max(4.0, site.radius), 0, 1))


def wedge(site: Site, rng: np.random.Generator) -> Array:
    """A straight or jagged cut that takes away all on one side of it, near the site."""
    dx, dy = site.grid()
    angle = float(rng.uniform(0, 2 * np.pi))
    across = np.float32(np.cos(angle)) * dx + np.float32(np.sin(angle)) * dy
    jag = fractal(site.size, rng, max(4.0, site.radius * 0.7), 0.6) * np.float32(0.12 * site.radius)
    inside = np.minimum(across + jag, np.float32(1.5 * site.radius) + jag - np.hypot(dx, dy))
    return np.asarray(np.clip(inside, 0, 1), np.float32)


def rift(site: Site, rng: np.random.Generator) -> Array:
    """A jagged wide gap through the region, with crumbs beside it."""
    heading = rng.uniform(0, 2 * np.pi)
    path = walk((site.x, site.y), site.radius * 5, heading, 0.08, 24, rng, 0.55)
    wide = max(2.0, site.radius * rng.uniform(0.15, 0.55))
    half = wide * np.clip(0.5 + 0.3 * rng.standard_normal(len(path)), 0.3, 1)[:, None]
    normal = np.array([[-np.sin(heading), np.cos(heading)]])
    jag = rng.normal(0, 0.1 * wide, (2, len(path), 1))
    outline = np.concatenate((path + normal * (half + jag[0]), (path - normal * (half + jag[1]))[::-1]))
    canvas = np.zeros(site.size, np.uint8)
    cv2.fillPoly(canvas, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    for _ in range(int(rng.integers(0, 6))):
        x, y = path[int(rng.integers(0, len(path)))] + rng.normal(0, 1.2 * wide, 2)
        crumb = np.array([x, y]) + rng.normal(0, 1 + 0.12 * wide, (5, 2))
        cv2.fillConvexPoly(canvas, cv2.convexHull(np.round(crumb).astype(np.int32)), 255, cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


def perlin(site: Site, rng: np.random.Generator) -> Array:
    """Irregular islands: thresholded noise of several scales, within the site's reach."""
    stretch = float(np.exp(rng.uniform(-1, 1)))
    cell = max(4.0, site.radius * rng.uniform(0.5, 1.6))
    dx, dy = site.grid()
    noise = fractal(site.size, rng, cell, 0.5, stretch) - 1.3 * (np.hypot(dx, dy) / np.float32(site.radius) - 1)
    noise += np.float32(0.4)
    return np.asarray(np.clip((noise - 0.9) * rng.uniform(1.5, 10), 0, 1), np.float32)


def specks(site: Site, rng: np.random.Generator) -> Array:
    """Small particles or dots near each other: a few large ones or many fine ones."""
    canvas = np.zeros(site.size, np.uint8)
    count = int(log_uniform(rng, 3, 70))
    most = max(1.2, 0.9 * site.radius / np.sqrt(count))
    for x, y, a, b, turn in zip(
        rng.normal(site.x, 0.7 * site.radius, count),
        rng.normal(site.y, 0.7 * site.radius, count),
        rng.uniform(0.5, 1, count) * most,
        rng.uniform(0.5, 1, count) * most,
        rng.uniform(0, 180, count),
        strict=True,
    ):
        axes = (max(1, round(a)), max(1, round(b)))
        cv2.ellipse(canvas, (int(x), int(y)), axes, float(turn), 0, 360, 255, -1, cv2.LINE_AA)
    return soften(canvas.astype(np.float32) / 255, 1.5, rng)


def thread(site: Site, rng: np.random.Generator) -> Array:
    """A curled fibre or a hair."""
    length = max(14.0, site.radius * rng.uniform(2.5, 7))
    path = walk((site.x, site.y), length, rng.uniform(0, 6.28), rng.uniform(0.05, 0.3), 30, rng)
    return stroke(site.size, path, thickness(site, 1.0, 3.6, rng))


def scuff(site: Site, rng: np.random.Generator) -> Array:
    """Many fine parallel scratches within a patch."""
    patch = np.clip(blob_field(site, rng) * 2.5, 0, 1)
    angle = float(rng.uniform(0, np.pi))
    length = max(4, round(site.radius * rng.uniform(0.5, 1.5)))
    matrix = cv2.getRotationMatrix2D((site.x, site.y), float(np.degrees(angle)), 1.0)
    lines = cv2.blur(rng.standard_normal(site.size, dtype=np.float32), (length, 1)) * np.sqrt(np.float32(length))
    lines = cv2.warpAffine(lines, matrix, (site.size[1], site.size[0]), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(patch * np.clip(lines * 1.2 - rng.uniform(0.0, 0.9), 0, 1), np.float32)


def segment(site: Site, rng: np.random.Generator) -> Array:
    """The connected part of about one colour around the site, or a soft blob where that is too small."""
    canvas = np.zeros((site.size[0] + 2, site.size[1] + 2), np.uint8)
    smoothed = cv2.GaussianBlur(site.image, (0, 0), 1.2).astype(np.uint8)
    tolerance = (float(rng.uniform(10, 30)),) * 3
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (1 << 8)
    cv2.floodFill(smoothed, canvas, (int(site.x), int(site.y)), (0, 0, 0), tolerance, tolerance, flags)
    part = cv2.morphologyEx(canvas[1:-1, 1:-1], cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    share = float(part.mean())
    if not 0.02 < share < 0.6:
        return soft_blob(site, rng)
    rim = np.concatenate((part[0], part[-1], part[:, 0], part[:, -1]))
    if rim.any():
        # It goes on beyond the window: end it along a rough outline, not along the window's straight edge.
        return np.asarray(part * any_blob(site, rng), np.float32)
    return soften(part.astype(np.float32), 1.5, rng)
