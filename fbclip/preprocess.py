"""uint8 picture -> normalised network input. The only copy: `calibrate` and the agent both come through here."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor

from fbclip.config import CLIP_MEAN, CLIP_STD, Frozen
from fbclip.decision import BoolMap, Placement
from fbclip.errors import ImageError

Picture = NDArray[np.uint8]
Fraction = Annotated[float, Field(ge=0, le=1)]

_MEAN = torch.tensor(CLIP_MEAN).view(3, 1, 1)
_STD = torch.tensor(CLIP_STD).view(3, 1, 1)


class Roi(Frozen):
    """Region of interest as fractions of the frame, half-open: x1 <= x < x2."""

    x1: Fraction
    y1: Fraction
    x2: Fraction
    y2: Fraction

    @model_validator(mode="after")
    def _order(self) -> Roi:
        if self.x1 >= self.x2 or self.y1 >= self.y2:
            raise ValueError("roi must have x1 < x2 and y1 < y2")
        return self


def place(height: int, width: int, roi: Roi | None) -> Placement:
    """Pixels of a frame that the network sees; raises ImageError when the ROI leaves nothing."""
    if roi is None:
        return Placement(0, 0, width, height)
    x1, x2 = round(roi.x1 * width), round(roi.x2 * width)
    y1, y2 = round(roi.y1 * height), round(roi.y2 * height)
    if x2 <= x1 or y2 <= y1:
        raise ImageError("too_small", f"the region of interest is empty in a {width}x{height} picture")
    return Placement(x1, y1, x2 - x1, y2 - y1)


def preprocess(image: Picture, size: int, placement: Placement | None = None) -> Tensor:
    """RGB uint8 (H,W,3) -> float32 (3,S,S), CLIP-normalised.

    The aspect is not kept. Pillow's antialiased bicubic is the definition: it rounds to uint8 after each of
    its two passes, and float resampling without that rounding differs visibly.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ImageError("not_an_image", f"needs (H,W,3) uint8, got {image.shape} {image.dtype}")
    if placement is not None:
        p = placement
        image = image[p.y : p.y + p.height, p.x : p.x + p.width]
    if min(image.shape[:2]) < 1:
        raise ImageError("too_small", f"picture of {image.shape[1]}x{image.shape[0]} pixels")
    resized = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
    tensor = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float().div_(255)
    return tensor.sub_(_MEAN).div_(_STD)


def ignore_on_map(mask: BoolMap, placement: Placement, shape: tuple[int, int]) -> BoolMap:
    """Ignore mask in original-frame pixels (H,W) -> map pixels of `shape`; a map pixel touched at all is ignored."""
    p = placement
    crop = mask[p.y : p.y + p.height, p.x : p.x + p.width].astype(np.float32)
    area = Image.fromarray(crop).resize((shape[1], shape[0]), Image.Resampling.BOX)
    return np.asarray(np.asarray(area) > 0, dtype=np.bool_)
