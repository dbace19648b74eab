"""Defects painted on normal real images: where the object is, how large the defect is, and which kinds are for what.

The kinds are in two families. Tuning uses TUNE_KINDS only, and its result is evaluated on EVALUATION_KINDS, so
that recognising the painter's own strokes is no success.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from calibrate.datasets.sample import Sample
from calibrate.defects.kinds import KINDS, paint
from calibrate.surfaces.fields import Array, log_uniform, smooth
from fbclip.errors import ImageError
from fbclip.images.geometry import BoolMap, Placement, RgbImage

EVALUATION_KINDS = ("crack", "hole", "missing", "texture_swap")
"""A thin one, a blob, a missing part and a changed texture."""
_ALIKE = ("noise_swap", "fracture", "broken_off")
"""Look like one of EVALUATION_KINDS, so they are in neither family."""
TUNE_KINDS = tuple(kind for kind in KINDS if kind not in (*EVALUATION_KINDS, *_ALIKE))

_WORKING_SIDE = 256
_LEAST_OBJECT, _MOST_OBJECT = 0.10, 0.95
_LEAST_OF_LARGEST, _LEAST_PIECE = 0.25, 0.02
"""Area of an outline from which it is an object, in parts of the largest one's and of the frame."""
_SMALLEST, _LARGEST = 0.12, 0.9
"""Radius of the patch of object that a defect may use, in parts of the object's side."""
_TRIES = 6
_LEAST_RADIUS = 10
"""In pixels: less leaves no room for a shape."""


def defect_on(
    image: Array, rng: np.random.Generator, kinds: Sequence[str], region: Array | None = None
) -> tuple[Array, Array, str]:
    """One defect of a random kind of `kinds` on uint8 RGB (H,W,3) -> (image, mask bool (H,W), kind).

    It lies inside `region` bool (H,W), or on the object that `foreground` finds. Pixels outside the mask are those
    of the input. The same generator state gives the same defect. Raises ValueError for an unknown kind and for a
    image or region that is too small (64 pixels).
    """
    kind = str(kinds[int(rng.integers(0, len(kinds)))])
    where = foreground(image) if region is None else region
    top, left, bottom, right = _box(where)
    object_side = float(np.sqrt(where.sum()))
    share = log_uniform(rng, _SMALLEST, _LARGEST)
    radius = max(_LEAST_RADIUS, round(share * object_side))
    flat = np.flatnonzero(where)
    if not len(flat):
        raise ValueError("the region is too small for a defect")
    y, x = divmod(int(flat[rng.integers(0, len(flat))]), where.shape[1])
    if kind != "missing":
        # A missing part begins at the object's outline and shows what is around it, so it needs the whole object.
        top, bottom = max(top, y - radius), min(bottom, y + radius + 1)
        left, right = max(left, x - radius), min(right, x + radius + 1)
    window = np.s_[top:bottom, left:right]
    part = where[window]
    if kind != "missing":
        rough = part & _rough_disc(part.shape, (y - top, x - left), radius, rng)
        part = rough if rough.sum() >= 64 else part
    painted, inside = paint(kind, np.ascontiguousarray(image[window]), part, rng)
    out, mask = image.copy(), np.zeros(where.shape, bool)
    out[window], mask[window] = painted, inside
    return out, mask, kind


def foreground(image: Array) -> Array:
    """The object of uint8 RGB (H,W,3) as bool (H,W): what differs from the border's colour, split by Otsu.

    The whole frame where that finds less than 10 % or more than 95 % of it: a close-up, or no plain background.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _WORKING_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    rim = np.concatenate((small[0], small[-1], small[:, 0], small[:, -1]))
    distance = np.linalg.norm(small - np.median(rim, axis=0), axis=2)
    levels = np.clip(cv2.GaussianBlur(distance, (0, 0), 1.5), 0, 255).astype(np.uint8)
    _, binary = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(binary.shape, np.uint8)
    # Specks of a texture and strips of the station are no objects; what lies inside an outline belongs to it.
    largest = max((cv2.contourArea(o) for o in outlines), default=0.0)
    least = max(_LEAST_OF_LARGEST * largest, _LEAST_PIECE * binary.size)
    large = [o for o in outlines if cv2.contourArea(o) >= least]
    cv2.drawContours(filled, large, -1, 1, cv2.FILLED)
    if not _LEAST_OBJECT <= float(filled.mean()) <= _MOST_OBJECT:
        return np.ones((height, width), bool)
    return np.asarray(cv2.resize(filled, (width, height), interpolation=cv2.INTER_NEAREST) > 0)


def _box(region: Array) -> tuple[int, int, int, int]:
    """Half-open (top, left, bottom, right) of a region, with a tenth more on each side; the frame if it is empty."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    height, width = region.shape
    if not len(rows):
        return 0, 0, height, width
    down, across = (len(rows) + 9) // 10, (len(columns) + 9) // 10
    return (
        max(0, int(rows[0]) - down),
        max(0, int(columns[0]) - across),
        min(height, int(rows[-1]) + 1 + down),
        min(width, int(columns[-1]) + 1 + across),
    )


def _rough_disc(shape: tuple[int, ...], at: tuple[int, int], radius: int, rng: np.random.Generator) -> Array:
    """A disc with a ragged outline, bool: a defect cut off by it shows no straight edge."""
    ys, xs = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    rough = smooth((shape[0], shape[1]), max(4.0, radius * 0.4), rng)
    return np.asarray(1 - np.hypot(ys - at[0], xs - at[1]) / radius + 0.2 * rough > 0)


@dataclass(frozen=True)
class DefectRequest:
    """Which defect to synthesise: one of `kinds`, from `seed`.

    areas: bounds of the mask's area in parts of the object's; the defect keeps them, or comes as near as it can.
    """

    kinds: tuple[str, ...]
    seed: tuple[int, ...]
    areas: tuple[float, float] | None = None


@dataclass(frozen=True)
class Item:
    """A labelled sample, as it is or with a synthesised defect; the same item is the same image every time."""

    sample: Sample
    defect: DefectRequest | None = None

    @property
    def anomalous(self) -> bool:
        return self.defect is not None or self.sample.label is True

    @property
    def masked(self) -> bool:
        """Is it known which pixels are anomalous? Of a normal image it is: none."""
        return not self.anomalous or self.defect is not None or self.sample.mask is not None


def add_defect(image: RgbImage, request: DefectRequest, placement: Placement) -> tuple[RgbImage, BoolMap]:
    """Image (H,W,3) with the defect inside the region of interest, and its mask (H,W); raises ImageError too_small."""
    p = placement
    window = np.s_[p.y : p.y + p.height, p.x : p.x + p.width]
    try:
        inner, inside = _requested(np.ascontiguousarray(image[window]), request)
    except ValueError as error:
        raise ImageError("too_small", str(error)) from error
    out, mask = image.copy(), np.zeros(image.shape[:2], bool)
    out[window], mask[window] = inner, inside
    return out, mask


def _requested(image: Array, request: DefectRequest) -> tuple[Array, Array]:
    """The first of _TRIES defects whose area keeps the bounds, else the one whose area is nearest by its ratio."""
    rng = np.random.default_rng(request.seed)
    region = foreground(image)
    if request.areas is None:
        return defect_on(image, rng, request.kinds, region)[:2]
    (low, high), size = request.areas, int(region.sum())
    best, least = None, np.inf
    for _ in range(_TRIES):
        painted, mask, _ = defect_on(image, rng, request.kinds, region)
        area = int(mask.sum()) / size
        off = max(low / area, area / high, 1.0)
        if off < least:
            best, least = (painted, mask), off
        if off == 1.0:
            break
    assert best is not None
    return best
