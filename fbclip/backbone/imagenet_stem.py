"""A stem of frozen features in place of CLIP's patch convolution: tokens of a network that has seen real images.

The embedded model has it: trained from nothing on generated images, a stem of its own knew no real ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.features.catalog import IMAGENET
from fbclip.features.imagenet import Strides

_PATCH_WIDTH = 4 * IMAGENET.widths[8] + IMAGENET.widths[16]
_EPS = 1e-5


class ImageNetStem(nn.Module):
    """Strides of an image -> patches of 16 px (B,width,g,g).

    Each patch is seen twice: as it is, and by how far each of its numbers lies from the mean of its own image in
    spreads of that image, so that what differs from the rest stands out whatever the material and the light.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(_PATCH_WIDTH)
        self.proj = nn.Linear(2 * _PATCH_WIDTH, width)

    def forward(self, strides: Strides) -> Tensor:
        fine = F.pixel_unshuffle(_square(strides[8]), 2)
        coarse = F.avg_pool2d(_square(strides[16]), 2)
        grid = torch.cat((fine, coarse), dim=1)
        patches = grid.flatten(2).transpose(1, 2)  # (B,L,C)
        variance, mean = torch.var_mean(patches, dim=1, correction=0, keepdim=True)
        relative = (patches - mean) * torch.rsqrt(variance + _EPS)
        tokens = self.proj(torch.cat((self.norm(patches), relative), dim=-1))
        return _square(tokens)


def fine_tokens(strides: Strides) -> Tensor:
    """The cells of half a patch, both strides side by side and of equal spread in each image: (B,4L,F) float32."""
    return torch.cat([_of_spread_one(strides[stride]) for stride in (8, 16)], dim=-1)


def _of_spread_one(tokens: Tensor) -> Tensor:
    return tokens / tokens.std(dim=(1, 2), keepdim=True).clamp_min(_EPS)


def _square(tokens: Tensor) -> Tensor:
    """(B,n·n,C) -> (B,C,n,n)"""
    side = math.isqrt(int(tokens.shape[1]))
    return tokens.transpose(1, 2).reshape(*tokens.shape[::2], side, side)
