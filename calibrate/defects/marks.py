"""Faults of lines and prints in the image's own inks (gaps, bridges, spurs, pinholes), creases and rings."""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.defects.shapes import soft_blob, thickness, walk
from calibrate.defects.sites import Site, blur
from calibrate.surfaces.fields import Array


def inks(site: Site) -> tuple[Array, Array, Array]:
    """The dark and the light dominant colour (3,) of the window, and bool (h,w): where it is light."""
    grey = cv2.cvtColor(np.clip(site.image, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    _, binary = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    light = binary > 0
    if not light.any() or light.all():
        return np.zeros(3), np.full(3, 255.0), light
    return np.median(site.image[~light], axis=0), np.median(site.image[light], axis=0), light


def line_fault(site: Site, rng: np.random.Generator) -> tuple[Array, Array]:
    """One to four small shapes on edges, each in the ink that is not under it -> (alpha (h,w), content (h,w,3))."""
    low, high, light = inks(site)
    height, width = site.size
    binary = light.astype(np.uint8)
    edge = (cv2.morphologyEx(binary, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0) & site.region
    dx, dy = site.grid()
    edge &= np.hypot(dx, dy) < 1.6 * site.radius + 4
    positions = np.argwhere(edge)
    if not len(positions):
        positions = np.array([[site.y, site.x]])
    alpha, content = np.zeros(site.size, np.float32), site.image.copy()
    for _ in range(int(rng.choice([1, 1, 1, 2, 3, 4]))):
        y, x = positions[int(rng.integers(0, len(positions)))]
        canvas = np.zeros(site.size, np.uint8)
        to_light = bool(rng.random() < 0.5)
        reach = max(2.0, site.radius * rng.uniform(0.5, 1.3))
        choice = rng.random()
        if choice < 0.45:
            # A stroke across or between lines: a gap in the one ink is a bridge in the other.
            path = walk((float(x), float(y)), 2.4 * reach, rng.uniform(0, np.pi), 0.08, 6, rng, 0.1)
            wide = max(thickness(site, 2, 6, rng), round(0.35 * reach))
            cv2.polylines(
                canvas, [np.round(path * 16).astype(np.int32).reshape(-1, 1, 2)], False, 255, wide, cv2.LINE_AA, 4
            )
        elif choice < 0.8:
            # A spur or a nick: a rough spot half over the edge.
            turns = np.linspace(0, 2 * np.pi, 11)[:-1]
            far = 0.8 * reach * rng.uniform(0.6, 1.3, 10)
            spot = np.stack((x + far * np.cos(turns), y + far * np.sin(turns)), axis=1)
            cv2.fillPoly(canvas, [np.round(spot * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        else:
            # A pinhole or an ink spot away from the edge, in the ink that is not there.
            x = int(np.clip(x + rng.normal(0, reach), 0, width - 1))
            y = int(np.clip(y + rng.normal(0, reach), 0, height - 1))
            to_light = not bool(light[y, x])
            cv2.circle(canvas, (x, y), max(2, round(0.7 * reach)), 255, -1, cv2.LINE_AA)
        part = canvas.astype(np.float32) / 255
        content = np.where((part > 0)[..., None], high if to_light else low, content)
        alpha = np.maximum(alpha, part)
    return alpha, np.asarray(content, np.float32)


def fold(site: Site, rng: np.random.Generator) -> tuple[Array, Array]:
    """A crease: a line of light beside a line of shade, fading to both sides -> (alpha (h,w), content (h,w,3))."""
    path = walk((site.x, site.y), max(16.0, site.radius * rng.uniform(3, 5)), rng.uniform(0, 6.28), 0.08, 16, rng, 0.1)
    canvas = np.full(site.size, 255, np.uint8)
    cv2.polylines(canvas, [np.round(path).astype(np.int32).reshape(-1, 1, 2)], False, 0, 1)
    away = cv2.distanceTransform(canvas, cv2.DIST_L2, 3)
    wide = max(1.8, site.radius * rng.uniform(0.1, 0.4))
    ridge = np.exp(-((away / wide) ** 2)).astype(np.float32)
    turn = rng.uniform(0, 6.28)
    shift = np.array([[1, 0, wide * np.cos(turn)], [0, 1, wide * np.sin(turn)]], np.float32)
    shade = cv2.warpAffine(ridge, shift, (site.size[1], site.size[0]))
    depth = np.float32(rng.uniform(50, 120))
    return np.clip(1.5 * np.maximum(ridge, shade), 0, 1), site.image + depth * (ridge - shade)[..., None]


def glow_ring(site: Site, rng: np.random.Generator) -> tuple[Array, Array]:
    """A bright or dark ring about a spot that is itself unlike its surroundings -> (alpha, content)."""
    disc = soft_blob(site, rng)
    core = blur(disc, max(1.0, 0.25 * site.radius))
    ring = np.clip(4 * core * (1 - core), 0, 1)
    sign = np.float32(-1 if site.level(disc) > 140 else 1)
    lift = sign * np.float32(rng.uniform(50, 120)) * (ring - np.float32(rng.uniform(0, 0.8)) * core)
    return np.clip(3 * disc, 0, 1), site.image + lift[..., None]
