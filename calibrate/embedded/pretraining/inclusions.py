"""Inclusions that belong: chips, seeds, grains, prints strewn over an image, all of one kind. They are no defects.

Without them the model took every spot for one: on the held-out family with chips its image AUROC was 0.53.
"""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.surfaces.fields import Array

_LEAST, _MOST = 6, 40
_CORNERS = 9
_SHIFT = 4
"""Fraction bits of OpenCV's corners, so that a small shape is not snapped to whole pixels."""


def add_inclusions(image: Array, mask: Array, rng: np.random.Generator) -> Array:
    """uint8 (H,W,3) with 6 to 40 shapes of one kind, none on or near the defect in `mask` (H,W) bool."""
    side = image.shape[0]
    radius = side * rng.uniform(0.008, 0.035)
    colour = rng.uniform(0, 255, 3) if rng.random() < 0.4 else image.mean(axis=(0, 1)) * rng.uniform(0.2, 1.7)
    unevenness, stretch = rng.uniform(0.0, 0.45), rng.uniform(1.0, 2.5)
    cover = np.zeros(image.shape[:2], np.uint8)
    for centre in rng.uniform(0, side, (int(rng.integers(_LEAST, _MOST + 1)), 2)):
        outline = _outline(radius * rng.uniform(0.6, 1.4), unevenness, stretch, rng) + centre
        cv2.fillPoly(cover, [np.round(outline * (1 << _SHIFT)).astype(np.int32)], 255, cv2.LINE_AA, _SHIFT)
    reach = 2 * int(np.ceil(2 * radius)) + 1
    near = cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool)
    cover[near] = 0
    soft = cv2.GaussianBlur(cover.astype(np.float32) / 255, (0, 0), rng.uniform(0.5, 1.5))[..., None]
    soft = soft * np.float32(rng.uniform(0.5, 1.0))
    shade = colour * (1 + 0.1 * rng.standard_normal((*image.shape[:2], 1)))
    return np.asarray(np.clip(image * (1 - soft) + shade.astype(np.float32) * soft + 0.5, 0, 255), np.uint8)


def _outline(radius: float, unevenness: float, stretch: float, rng: np.random.Generator) -> Array:
    """Corners (_CORNERS,2) around 0 of one shape, turned at random."""
    angles = np.arange(_CORNERS) * 2 * np.pi / _CORNERS
    lengths = radius * (1 + unevenness * rng.uniform(-1, 1, _CORNERS))
    points = np.stack((lengths * np.cos(angles) * stretch, lengths * np.sin(angles)), axis=1) / np.sqrt(stretch)
    turn = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(points @ rotation.T, np.float32)
