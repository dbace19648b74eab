"""What tuning sees of an image: network input, label and mask, of a file as it is or with a defect painted on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from calibrate.datasets.masks import resize_mask
from calibrate.datasets.sample import Sample
from calibrate.defects.on_images import defect_on
from calibrate.errors import DataError
from fbclip.errors import ImageError
from fbclip.images.decode import read_image
from fbclip.images.framing import Framing, frame_image
from fbclip.images.geometry import BoolMap, Placement, RgbImage
from fbclip.images.quality import QualitySettings, image_fault


@dataclass(frozen=True)
class Painted:
    """A defect to synthesise: one of `kinds`, drawn from `seed`."""

    kinds: tuple[str, ...]
    seed: tuple[int, ...]


@dataclass(frozen=True)
class Item:
    """A labelled sample, as it is or with a synthesised defect; the same item is the same image every time."""

    sample: Sample
    painted: Painted | None = None

    @property
    def anomalous(self) -> bool:
        return self.painted is not None or self.sample.label is True

    @property
    def masked(self) -> bool:
        """Is it known which pixels are anomalous? Of a normal image it is: none."""
        return not self.anomalous or self.painted is not None or self.sample.mask is not None


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
        try:
            return self._load(item)
        except (ImageError, OSError) as error:
            raise DataError(f"{item.sample.path}: {error}") from error

    def _load(self, item: Item) -> Loaded:
        image: RgbImage = read_image(item.sample.path).image
        fault = image_fault(image, QualitySettings())
        if fault is not None:
            raise ImageError(fault)
        framed = frame_image(image, self.framing, self.size, self.patch)
        mask: BoolMap | None = None
        if item.painted is not None:
            image, mask = paint_item(image, item.painted, framed.placement)
            framed = frame_image(image, self.framing, self.size, self.patch)
        elif item.sample.mask is not None:
            mask = read_mask(item.sample, image, framed.placement)
        elif not item.anomalous:
            mask = np.zeros(image.shape[:2], bool)
        square = (self.size, self.size)
        small = None if mask is None else torch.from_numpy(resize_mask(mask, framed.placement, square))
        return Loaded(framed.tiles[0], float(item.anomalous), small)


def paint_item(image: RgbImage, painted: Painted, placement: Placement) -> tuple[RgbImage, BoolMap]:
    """Image (H,W,3) with the defect inside the region of interest, and its mask (H,W)."""
    p = placement
    window = np.s_[p.y : p.y + p.height, p.x : p.x + p.width]
    rng = np.random.default_rng(painted.seed)
    try:
        inner, inside, _ = defect_on(np.ascontiguousarray(image[window]), rng, painted.kinds)
    except ValueError as error:
        raise ImageError("too_small", str(error)) from error
    out, mask = image.copy(), np.zeros(image.shape[:2], bool)
    out[window], mask[window] = inner, inside
    return out, mask


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
        shown = "; ".join(unusable[:5]) + (f" and {len(unusable) - 5} more" if len(unusable) > 5 else "")
        raise DataError(f"{len(unusable)} images cannot be used, take them out or add --skip-bad: {shown}")
    return usable_samples, unusable
