"""What a defect shows, taken from the image itself: (site, alpha (h,w)) -> (h,w,3), 0..255, for alpha 1."""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.defects.sites import Site, blur
from calibrate.surfaces.fields import Array, smooth


def elsewhere(site: Site, alpha: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """Another part of the image, turned and a little lighter or darker."""
    gain = np.float32(np.exp(rng.uniform(-0.4, 0.35)))
    return np.asarray(other_window(site, rng.uniform(30, 330), float(np.exp(rng.uniform(-0.4, 0.4))), rng) * gain)


def duplicate(site: Site, alpha: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """Another part of the image as it is: a part where none belongs."""
    return other_window(site, float(rng.normal(0, 12)), 1.0, rng)


def other_window(site: Site, degrees: float, scale: float, rng: np.random.Generator) -> Array:
    """The window filled from around a random position in the whole region, turned and enlarged."""
    height, width = site.size
    flat = np.flatnonzero(site.whole_region)
    y, x = divmod(int(flat[rng.integers(0, len(flat))]), site.whole_region.shape[1])
    matrix = cv2.getRotationMatrix2D((float(x), float(y)), degrees, scale)
    matrix[:, 2] += np.array([site.x - x, site.y - y])
    return np.asarray(
        cv2.warpAffine(site.whole, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101), np.float32
    )


def turn_in_place(site: Site, alpha: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """The same part turned, mirrored or shifted."""
    height, width = site.size
    choice = rng.random()
    if choice < 0.5:
        matrix = cv2.getRotationMatrix2D((site.x, site.y), float(rng.uniform(25, 335)), 1.0)
    elif choice < 0.7:
        matrix = np.array([[-1, 0, 2 * site.x], [0, 1, 0]], np.float64)
    else:
        turn, far = rng.uniform(0, 6.28), max(3.0, site.radius * rng.uniform(0.2, 0.6))
        matrix = np.array([[1, 0, far * np.cos(turn)], [0, 1, far * np.sin(turn)]], np.float64)
    return np.asarray(cv2.warpAffine(site.image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101))


def swirl(site: Site, alpha: Array, rng: np.random.Generator) -> Array:
    """The surface twisted or bulged around the site."""
    dx, dy = site.grid()
    soft = blur(alpha, max(1.5, 0.3 * site.radius))
    if rng.random() < 0.5:
        turn = np.float32(rng.choice([-1, 1]) * rng.uniform(0.6, 2.5)) * soft
        cos, sin = np.cos(turn), np.sin(turn)
        map_x, map_y = cos * dx - sin * dy, sin * dx + cos * dy
    else:
        far = max(4.0, 0.7 * site.radius) * soft
        cell = max(4.0, 0.8 * site.radius)
        map_x, map_y = dx + far * smooth(site.size, cell, rng), dy + far * smooth(site.size, cell, rng)
    return np.asarray(
        cv2.remap(
            site.image,
            (map_x + site.x).astype(np.float32),
            (map_y + site.y).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
    )


def rough(site: Site, alpha: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """The surface blurred, with coarser grain, or with less or more contrast."""
    blurred = cv2.GaussianBlur(site.image, (0, 0), float(rng.uniform(1.5, 5)))
    choice = rng.random()
    if choice < 0.35:
        return np.asarray(blurred + rng.normal(0, 14))
    if choice < 0.7:
        grain = smooth(site.size, float(rng.uniform(1.2, 4)), rng)[..., None]
        return np.asarray(blurred + np.float32(rng.uniform(12, 40)) * grain)
    return np.asarray(blurred + np.float32(rng.uniform(1.8, 3.5)) * (site.image - blurred) + rng.normal(0, 12))


def smear(site: Site, alpha: Array, rng: np.random.Generator) -> Array:  # noqa: ARG001
    """The surface drawn out along one direction, darkest ink first or a plain average."""
    length = max(5, int(site.radius * rng.uniform(0.5, 1.6))) | 1
    kernel = np.zeros((length, length), np.float32)
    turn = rng.uniform(0, np.pi)
    reach = 0.5 * (length - 1) * np.array([np.cos(turn), np.sin(turn)])
    middle = np.array([length // 2, length // 2])
    ends = [(int(p[0]), int(p[1])) for p in np.round([middle - reach, middle + reach])]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1)
    if rng.random() < 0.5 and length < 40:
        return np.asarray(cv2.erode(site.image, kernel.astype(np.uint8)))
    return np.asarray(cv2.filter2D(site.image, -1, kernel / kernel.sum()))


def fill_in(site: Site, alpha: Array, rng: np.random.Generator) -> Array:
    """The surroundings carried on over the site, so that what was there is absent."""
    hidden = cv2.dilate((alpha > 0.02).astype(np.uint8), np.ones((5, 5), np.uint8))
    known = (1 - hidden) * site.region
    if not known.any():
        known = 1 - hidden
    # Normalised blurs of growing width: the nearest known colours win, at a small part of inpainting's cost.
    height, width = site.size
    shrink = min(1.0, 72 / max(height, width))
    small = (max(2, round(width * shrink)), max(2, round(height * shrink)))
    # Only cells without any hidden pixel give their colour.
    weight = (cv2.resize(known.astype(np.float32), small, interpolation=cv2.INTER_AREA) > 0.98).astype(np.float32)
    colours = cv2.resize(site.image, small, interpolation=cv2.INTER_AREA) * weight[..., None]
    filled: Array = np.zeros_like(colours)
    done: Array = np.zeros_like(weight)
    mean: Array = colours
    for sigma in (1.5, 4.0, 10.0):
        near = cv2.GaussianBlur(weight, (0, 0), sigma)
        mean = cv2.GaussianBlur(colours, (0, 0), sigma) / np.maximum(near, 1e-4)[..., None]
        take = (1 - done) * np.clip(near * 6, 0, 1)
        filled += take[..., None] * mean
        done += take
    filled += (1 - done)[..., None] * mean
    result = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    steps = np.abs(site.image[1:, ::3, 1] - site.image[:-1, ::3, 1])
    grain = 0.7 * float(np.median(steps))
    return np.asarray(result + np.float32(grain) * rng.standard_normal(site.size, dtype=np.float32)[..., None])
