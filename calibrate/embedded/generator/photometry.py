"""What camera and light do to a finished image, the same for normal and anomalous ones."""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.surfaces.fields import Array, coordinates, white


def lighting(image: Array, rng: np.random.Generator, strength: float = 0.25) -> Array:
    """float (H,W,3) 0..1 times a linear gradient or a soft lamp, at most 1 ± `strength`."""
    size = image.shape[0], image.shape[1]
    u, v = coordinates(size, rng.uniform(0, 2 * np.pi))
    reach = max(size)
    if rng.random() < 0.6:
        field = u * (2 / reach)
    else:
        cx, cy = rng.uniform(-0.5, 0.5, 2) * reach
        field = 1 - np.hypot(u - cx, v - cy) * (2 / reach)
    gain = 1 + np.float32(rng.uniform(0, strength)) * np.clip(field, -1, 1)
    return np.asarray(image * gain[..., None], np.float32)


def colour_cast(image: Array, rng: np.random.Generator, strength: float = 0.06) -> Array:
    """float (H,W,3): each channel times its own gain, then one exposure and a gamma for all."""
    gains = (1 + rng.normal(0, strength, 3)) * rng.uniform(0.8, 1.15)
    return np.asarray(np.clip(image * gains.astype(np.float32), 0, 1) ** np.float32(rng.uniform(0.8, 1.25)))


def defocus(image: Array, rng: np.random.Generator) -> Array:
    """float (H,W,3): a little out of focus."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.1))))


def sensor_noise(image: Array, rng: np.random.Generator, high: float = 0.03) -> Array:
    """float (H,W,3): Gaussian grain, most of it the same in all channels."""
    size = image.shape[0], image.shape[1]
    return np.asarray(image + np.float32(rng.uniform(0, high)) * white(size, rng)[..., None])


def fewer_pixels(image: Array, rng: np.random.Generator) -> Array:
    """float (H,W,3): as from a camera with fewer pixels, enlarged."""
    height, width = image.shape[:2]
    share = float(rng.uniform(0.4, 0.85))
    small = cv2.resize(image, (max(8, int(width * share)), max(8, int(height * share))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def jpeg(image: Array, rng: np.random.Generator) -> Array:
    """uint8 RGB (H,W,3) coded and decoded at quality 45..95."""
    ok, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 96))])
    if not ok:
        raise ValueError("the image cannot be coded as JPEG")
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1].copy()


def photograph(image: Array, rng: np.random.Generator) -> Array:
    """uint8 RGB (H,W,3) -> the same scene as a camera might give it, uint8."""
    out = image.astype(np.float32) / 255
    if rng.random() < 0.6:
        out = lighting(out, rng)
    if rng.random() < 0.7:
        out = colour_cast(out, rng)
    if rng.random() < 0.5:
        out = defocus(out, rng)
    if rng.random() < 0.2:
        out = fewer_pixels(out, rng)
    if rng.random() < 0.7:
        out = sensor_noise(out, rng)
    result = np.clip(out * 255 + 0.5, 0, 255).astype(np.uint8)
    return jpeg(result, rng) if rng.random() < 0.4 else result
