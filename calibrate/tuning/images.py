"""What tuning takes of an image, as it is or with a defect painted on it: network input, label and mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calibrate.datasets.masks import read_mask, resize_mask
from calibrate.datasets.sample import Sample
from calibrate.defects.on_images import EVALUATION_KINDS, TUNE_KINDS, DefectRequest, Item, add_defect
from calibrate.errors import DataError
from calibrate.inference import FramedItem, Skipped, Skips, frame_item, read_sample
from fbclip.errors import ImageError
from fbclip.files import write_atomically
from fbclip.images.framing import Framed, Framing, frame_image
from fbclip.images.geometry import BoolMap, RgbImage, Roi
from fbclip.images.preprocess import roi_placement

_OUTLINE = (255, 0, 255)


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """image (3,S,S) float32 normalised, label 0 or 1, mask bool (S,S) or None where it is not known."""

    image: Tensor
    label: float
    mask: Tensor | None


@dataclass(frozen=True)
class ImageLoader:
    """Frames images as the agent does for this framing (without tiles), side S = `size` and patch in pixels."""

    framing: Framing
    size: int
    patch: int

    def load(self, item: Item) -> LoadedImage:
        """Raises DataError naming the file, for the image as well as for its mask."""
        loaded = self.try_load(item)
        if isinstance(loaded, Skipped):
            raise DataError(f"{item.sample.path}: {loaded.reason}")
        return loaded

    def try_load(self, item: Item) -> LoadedImage | Skipped:
        """The same, with the reason where the image or its mask cannot be used."""
        framed = frame_item(item, self._frame, self.framing.window)
        if isinstance(framed, Skipped):
            return framed
        try:
            mask = _mask(framed)
        except DataError as error:
            return Skipped(item.sample, str(error))
        side = (self.size, self.size)
        small = None if mask is None else torch.from_numpy(resize_mask(mask, framed.framed.placement, side))
        return LoadedImage(framed.framed.network_input[0], float(item.anomalous), small)

    def _frame(self, image: RgbImage) -> Framed:
        return frame_image(image, self.framing, self.size, self.patch)


def usable_samples(
    samples: Sequence[Sample], loader: ImageLoader, skips: Skips, progress: Callable[[int], None] = lambda _: None
) -> list[Sample]:
    """Those that can be loaded; `skips` says what becomes of the others. `progress` gets how many were tried.

    Raises DataError.
    """

    def tried() -> Iterator[Sample | Skipped]:
        for done, sample in enumerate(samples, 1):
            loaded = loader.try_load(Item(sample))
            yield loaded if isinstance(loaded, Skipped) else sample
            progress(done)

    return list(skips.rest(tried()))


def write_preview(samples: Sequence[Sample], roi: Roi | None, seed: int, folder: Path) -> list[Path]:
    """One PNG a kind of defect, painted on normal samples in turn, its mask outlined one pixel outside.

    Shows what tuning would paint, before it does. Raises DataError naming an image that cannot be used, OSError.
    """
    written = []
    for number, kind in enumerate((*TUNE_KINDS, *EVALUATION_KINDS)):
        sample = samples[number % len(samples)]
        try:
            image = read_sample(sample)
            placement = roi_placement(image.shape[0], image.shape[1], roi)
            painted, mask = add_defect(image, DefectRequest((kind,), (seed, number)), placement)
        except (ImageError, OSError) as error:
            raise DataError(f"{sample.path}: {error}") from error
        use = "judge" if kind in EVALUATION_KINDS else "tune"
        path = folder / f"{number + 1:02d}_{use}_{kind}.png"
        ok, data = cv2.imencode(".png", outlined(painted, mask)[..., ::-1])
        if not ok:
            raise DataError(f"{path}: cannot be written as PNG")
        write_atomically(path, data.tobytes())
        written.append(path)
    return written


def outlined(image: RgbImage, mask: BoolMap) -> NDArray[np.uint8]:
    """uint8 RGB (H,W,3) with the outline of bool (H,W) drawn around it, so that the defect itself stays in view."""
    rim = (cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~mask
    out = image.copy()
    out[rim] = _OUTLINE
    return out


def _mask(framed: FramedItem) -> BoolMap | None:
    """bool (H,W) in the image's pixels: painted, from its file, empty for a normal image; None where none is known.

    Raises DataError naming the mask's file when it does not go with the image.
    """
    sample = framed.item.sample
    if framed.mask is not None:
        return framed.mask
    if sample.mask is None:
        return None if framed.item.anomalous else np.zeros(framed.image.shape[:2], bool)
    mask = read_mask(sample.mask)
    if mask.shape != framed.image.shape[:2]:
        height, width = framed.image.shape[:2]
        raise DataError(f"{sample.mask}: {mask.shape[1]}x{mask.shape[0]}, but {sample.path.name} is {width}x{height}")
    p = framed.framed.placement
    if not mask[p.y : p.y + p.height, p.x : p.x + p.width].any():
        raise DataError(f"{sample.mask}: black where the image is looked at, though the image is anomalous")
    return mask
