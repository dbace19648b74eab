"""Pillow's bicubic resize in whole numbers, on whatever device the pixels are: the same values everywhere, to the bit.

Pillow multiplies uint8 pixels with weights of 22 binary places, adds in int32 and rounds to uint8 after each of its two
passes, of which the horizontal one is first. Whole numbers do not depend on the order in which a device adds them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

_PLACES = 22
_SUPPORT = 2.0
_A = -0.5
_AT_ONCE = 8
"""Taps that are gathered together: what that takes stays below the picture's own bytes times some dozens."""


@dataclass(frozen=True, eq=False)
class Taps:
    """One axis: which pixels each of S new ones is made of, and how much of each.

    places (S,T) int64; weights (S,T) int32, of which a row adds up to about 2**22; 0 where a pixel has fewer than T.
    """

    places: Tensor
    weights: Tensor


@lru_cache(maxsize=64)
def bicubic_taps(length: int, size: int, device: str = "cpu") -> Taps:
    """From `length` pixels to `size`. Shrinking widens the filter, as antialiasing asks for."""
    scale = length / size
    wide = max(scale, 1.0)
    centre = (np.arange(size) + 0.5) * scale
    # Pillow truncates to whole numbers, as the conversion does.
    first = np.maximum((centre - _SUPPORT * wide + 0.5).astype(np.int64), 0)
    end = np.minimum((centre + _SUPPORT * wide + 0.5).astype(np.int64), length)
    places = first[:, None] + np.arange(int((end - first).max()))
    x = np.abs((places - centre[:, None] + 0.5) * (1.0 / wide))
    near = ((_A + 2) * x - (_A + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * _A
    weights = np.where(x < 1, near, np.where(x < _SUPPORT, far, 0.0))
    weights = np.where(places < end[:, None], weights, 0.0)
    # One after the other, as Pillow adds: numpy's own sum differs in the last place.
    scaled = weights / np.cumsum(weights, axis=1)[:, -1:] * (1 << _PLACES)
    whole = np.trunc(scaled + np.where(scaled < 0, -0.5, 0.5)).astype(np.int32)
    kept = np.minimum(places, length - 1)
    return Taps(torch.from_numpy(kept).to(device), torch.from_numpy(whole).to(device))


def resize_pixels(pixels: Tensor, size: int) -> Tensor:
    """uint8 (H,W,3) on any device -> uint8 (S,S,3) there, as Pillow's bicubic resize gives: first across, then down."""
    device = str(pixels.device)
    across = _pass(pixels.transpose(0, 1), bicubic_taps(pixels.shape[1], size, device)).transpose(0, 1)
    return _pass(across, bicubic_taps(pixels.shape[0], size, device))


def _pass(pixels: Tensor, taps: Taps) -> Tensor:
    """uint8 (N,M,3) -> (S,M,3) along the first axis. Every partial sum fits int32, as Pillow's own do."""
    size, count = taps.places.shape
    total = torch.full((size, *pixels.shape[1:]), 1 << (_PLACES - 1), dtype=torch.int32, device=pixels.device)
    for start in range(0, count, _AT_ONCE):
        places, weights = taps.places[:, start : start + _AT_ONCE], taps.weights[:, start : start + _AT_ONCE]
        for part in _rows(size, places.shape[1] * math.prod(pixels.shape[1:])):
            gathered = pixels[places[part]] * weights[part, :, None, None]
            total[part] += gathered.sum(dim=1, dtype=torch.int32)
    return (total >> _PLACES).clamp_(0, 255).to(torch.uint8)


_MOST_NUMBERS = 1 << 26


def _rows(size: int, numbers: int) -> list[slice]:
    """Rows of the result that are made together, of `numbers` products each: at most 256 MiB of them."""
    step = max(1, _MOST_NUMBERS // max(1, numbers))
    return [slice(start, start + step) for start in range(0, size, step)]
