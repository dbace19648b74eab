"""Text on float images: OpenCV writes on uint8 only, so the letters are drawn apart and blended in."""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.surfaces.noise import Array

Ink = tuple[float, ...]


def write(image: Array, text: str, at: tuple[int, int], scale: float, ink: Ink, width: int = 1) -> None:
    """Write `text` with its lower left corner at x, y into a float32 image (H,W,3), in place."""
    canvas = np.zeros(image.shape[:2], np.uint8)
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, width, cv2.LINE_AA)
    rows, columns = np.flatnonzero(canvas.any(axis=1)), np.flatnonzero(canvas.any(axis=0))
    if not len(rows):
        return
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    alpha = canvas[box].astype(np.float32)[..., None] / 255
    image[box] += alpha * (np.array(ink, np.float32) - image[box])
