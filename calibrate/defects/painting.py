"""An image as it is or with a painted defect: what tuning, fusion and few-shot curves look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibrate.datasets.sample import Sample
from calibrate.defects.on_images import defect_on
from fbclip.errors import ImageError
from fbclip.images.geometry import BoolMap, Placement, RgbImage


@dataclass(frozen=True)
class DefectRequest:
    """Which defect to synthesise: one of `kinds`, from `seed`."""

    kinds: tuple[str, ...]
    seed: tuple[int, ...]


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
    rng = np.random.default_rng(request.seed)
    try:
        inner, inside, _ = defect_on(np.ascontiguousarray(image[window]), rng, request.kinds)
    except ValueError as error:
        raise ImageError("too_small", str(error)) from error
    out, mask = image.copy(), np.zeros(image.shape[:2], bool)
    out[window], mask[window] = inner, inside
    return out, mask
