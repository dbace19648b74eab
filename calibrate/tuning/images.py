"""What tuning sees of an image: network input, label and mask, of a file as it is or with a defect painted on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from calibrate.datasets.masks import resize_mask
from calibrate.datasets.sample import Sample
from calibrate.defects.painting import Item
from calibrate.errors import DataError
from calibrate.inference import Skipped, frame_item
from calibrate.wording import listed
from fbclip.errors import ImageError
from fbclip.images.decode import read_image
from fbclip.images.framing import Framed, Framing, frame_image
from fbclip.images.geometry import BoolMap, Placement, RgbImage


@dataclass(frozen=True, eq=False)
class Loaded:
    """image (3,S,S) float32 normalised, label 0 or 1, mask bool (S,S) or None where it is not known."""

    image: Tensor
    label: float
    mask: Tensor | None


@dataclass(frozen=True)
class Loader:
    """Frames images as the agent does for this framing (without tiles), side S = `size` and patch in pixels."""

    framing: Framing
    size: int
    patch: int

    def load(self, item: Item) -> Loaded:
        """Raises DataError naming the file, for the image as well as for its mask."""
        found = frame_item(item, self._frame)
        if isinstance(found, Skipped):
            raise DataError(f"{item.sample.path}: {found.reason}")
        placement, mask = found.framed.placement, found.mask
        if mask is None and item.sample.mask is not None:
            mask = read_mask(item.sample, found.image, placement)
        elif mask is None and not item.anomalous:
            mask = np.zeros(found.image.shape[:2], bool)
        small = None if mask is None else torch.from_numpy(resize_mask(mask, placement, (self.size, self.size)))
        return Loaded(found.framed.tiles[0], float(item.anomalous), small)

    def _frame(self, image: RgbImage) -> Framed:
        return frame_image(image, self.framing, self.size, self.patch)


def read_mask(sample: Sample, image: RgbImage, placement: Placement) -> BoolMap:
    """Mask of an anomalous sample, bool (H,W): whatever is not black. Raises DataError naming the mask's file."""
    assert sample.mask is not None
    try:
        mask = np.asarray(read_image(sample.mask).image.max(axis=2) > 0, dtype=np.bool_)
    except (ImageError, OSError) as error:
        raise DataError(f"{sample.mask}: {error}") from error
    if mask.shape != image.shape[:2]:
        height, width = image.shape[:2]
        raise DataError(f"{sample.mask}: {mask.shape[1]}x{mask.shape[0]}, but {sample.path.name} is {width}x{height}")
    p = placement
    if not mask[p.y : p.y + p.height, p.x : p.x + p.width].any():
        raise DataError(f"{sample.mask}: black where the image is looked at, though the image is anomalous")
    return mask


def usable(samples: Sequence[Sample], loader: Loader, skip_bad: bool) -> tuple[list[Sample], list[str]]:
    """(samples that can be loaded, one line for each other one); without `skip_bad` DataError lists those."""
    usable_samples, unusable = [], []
    for sample in samples:
        try:
            loader.load(Item(sample))
            usable_samples.append(sample)
        except DataError as error:
            unusable.append(str(error))
    if unusable and not skip_bad:
        shown = listed(unusable, "; ")
        raise DataError(f"{len(unusable)} images cannot be used, take them out or add --skip-bad: {shown}")
    return usable_samples, unusable
