"""uint8 image -> normalised network input. The only copy: `calibrate` and the agent both come through here."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fbclip.errors import ImageError
from fbclip.images.geometry import BoolMap, Placement, RgbImage, Roi

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

_MEAN = torch.tensor(CLIP_MEAN).view(3, 1, 1)
_STD = torch.tensor(CLIP_STD).view(3, 1, 1)


def roi_placement(height: int, width: int, roi: Roi | None) -> Placement:
    """Pixels of a frame that the network sees; raises ImageError when the ROI leaves nothing."""
    if roi is None:
        return Placement(0, 0, width, height)
    x1, x2 = round(roi.x1 * width), round(roi.x2 * width)
    y1, y2 = round(roi.y1 * height), round(roi.y2 * height)
    if x2 <= x1 or y2 <= y1:
        raise ImageError("too_small", f"the region of interest is empty in a {width}x{height} image")
    return Placement(x1, y1, x2 - x1, y2 - y1)


def preprocess(image: RgbImage, size: int, placement: Placement | None = None) -> Tensor:
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
        raise ImageError("too_small", f"image of {image.shape[1]}x{image.shape[0]} pixels")
    resized = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
    tensor = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float().div_(255)
    return tensor.sub_(_MEAN).div_(_STD)


def ignore_on_map(mask: BoolMap, placement: Placement, shape: tuple[int, int]) -> BoolMap:
    """Ignore mask in original-frame pixels (H,W) -> map pixels of `shape`; a map pixel touched at all is ignored."""
    p = placement
    crop = mask[p.y : p.y + p.height, p.x : p.x + p.width].astype(np.float32)
    area = Image.fromarray(crop).resize((shape[1], shape[0]), Image.Resampling.BOX)
    return np.asarray(np.asarray(area) > 0, dtype=np.bool_)
