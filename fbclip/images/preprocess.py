"""uint8 image -> normalised network input. The only copy: `calibrate` and the agent both come through here."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fbclip.errors import ImageError
from fbclip.images.geometry import BoolMap, Placement, RgbImage, Roi
from fbclip.images.resampling import resize_pixels

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
    its two passes, and float resampling without that rounding differs visibly. The horizontal pass is first: left to
    itself, Pillow 13 takes the vertical one first where that is faster, which gives other pixels than earlier versions.
    """
    check_pixels(image)
    if placement is not None:
        p = placement
        image = image[p.y : p.y + p.height, p.x : p.x + p.width]
    if min(image.shape[:2]) < 1:
        raise ImageError("too_small", f"image of {image.shape[1]}x{image.shape[0]} pixels")
    across = Image.fromarray(image).resize((size, image.shape[0]), Image.Resampling.BICUBIC)
    resized = across.resize((size, size), Image.Resampling.BICUBIC)
    return _normalised(torch.from_numpy(np.array(resized)).permute(2, 0, 1))


def check_pixels(image: RgbImage) -> None:
    """Raises ImageError `not_an_image` for an array of another kind."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ImageError("not_an_image", f"needs (H,W,3) uint8, got {image.shape} {image.dtype}")


def preprocess_pixels(pixels: Tensor, size: int) -> Tensor:
    """The same of uint8 (H,W,3) on any device, there: equal to `preprocess` to the bit."""
    levels = resize_pixels(pixels, size).permute(2, 0, 1)
    table = _level_table(str(pixels.device))
    return torch.stack([table[channel][levels[channel].int()] for channel in range(3)])


@lru_cache(maxsize=8)
def _level_table(device: str) -> Tensor:
    """(3,256): what becomes of each level of each channel. Looked up, since a GPU rounds divisions in its own way."""
    return _normalised(torch.arange(256).expand(3, 1, 256))[:, 0].to(device)


def _normalised(levels: Tensor) -> Tensor:
    """Levels 0..255 of (3,h,w) -> float32, normalised as CLIP wants it."""
    return levels.float().div_(255).sub_(_MEAN).div_(_STD)


def ignore_on_map(mask: BoolMap, placement: Placement, shape: tuple[int, int]) -> BoolMap:
    """Ignore mask in original-frame pixels (H,W) -> map pixels of `shape`; a map pixel touched at all is ignored."""
    p = placement
    crop = mask[p.y : p.y + p.height, p.x : p.x + p.width].astype(np.float32)
    area = Image.fromarray(crop).resize((shape[1], shape[0]), Image.Resampling.BOX)
    return np.asarray(np.asarray(area) > 0, dtype=np.bool_)
