"""What synthesised defects look like on one's own images, before anything is tuned on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from calibrate.datasets.sample import Sample
from calibrate.defects.on_images import JUDGE_KINDS, TUNE_KINDS
from calibrate.defects.painting import Painted, paint
from calibrate.errors import DataError
from calibrate.surfaces.noise import Array
from fbclip.errors import ImageError
from fbclip.files import write_atomically
from fbclip.images.decode import read_image
from fbclip.images.geometry import Roi
from fbclip.images.preprocess import roi_placement

_OUTLINE = (255, 0, 255)


def write_preview(samples: Sequence[Sample], roi: Roi | None, seed: int, folder: Path) -> list[Path]:
    """One PNG a kind of defect, painted on normal samples in turn, its mask outlined one pixel outside.

    Raises DataError naming an image that cannot be used, OSError.
    """
    written = []
    for number, kind in enumerate((*TUNE_KINDS, *JUDGE_KINDS)):
        sample = samples[number % len(samples)]
        try:
            image = read_image(sample.path).image
            placement = roi_placement(image.shape[0], image.shape[1], roi)
            painted, mask = paint(image, Painted((kind,), (seed, number)), placement)
        except (ImageError, OSError) as error:
            raise DataError(f"{sample.path}: {error}") from error
        use = "judge" if kind in JUDGE_KINDS else "tune"
        path = folder / f"{number + 1:02d}_{use}_{kind}.png"
        ok, data = cv2.imencode(".png", outlined(painted, mask)[..., ::-1])
        if not ok:
            raise DataError(f"{path}: cannot be written as PNG")
        write_atomically(path, data.tobytes())
        written.append(path)
    return written


def outlined(image: Array, mask: Array) -> Array:
    """uint8 RGB (H,W,3) with the outline of bool (H,W) drawn around it, so that the defect itself stays in view."""
    rim = (cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~mask
    out = image.copy()
    out[rim] = _OUTLINE
    return out
