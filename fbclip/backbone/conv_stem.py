"""A convolutional stem in place of CLIP's single patch convolution ("Early Convolutions Help Transformers See Better").

The first embedded model has it, which lines that were set up with it go on using.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FIRST_STRIDE = 4
FIRST_WIDTH = 64


class ImageNorm(nn.Module):
    """Each channel of (B,C,h,w) less its mean over the image, over its spread there; then a learned gain and offset.

    What differs from the rest of its own image stands out, whatever the material and the light.
    """

    eps = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """In float32 inside; the dtype of `x` outside."""
        batch, channels, height, width = x.shape
        # Positions first, channels last, so that the sums run along memory.
        positions = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        variance, mean = torch.var_mean(positions.float(), dim=1, correction=0, keepdim=True)
        gain = self.weight * torch.rsqrt(variance + self.eps)
        out = torch.addcmul((self.bias - mean * gain).to(x.dtype), positions, gain.to(x.dtype))
        return out.view(batch, height, width, channels).permute(0, 3, 1, 2)


class Residual(nn.Module):
    """(B,C,h,w) -> the same: x plus a 3x3 convolution of its normed self."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ImageNorm(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(x + self.conv(F.gelu(self.norm(x))))


def stage_widths(width: int, patch_size: int) -> tuple[int, ...]:
    """Channels of every stage of a stem, fine to coarse; `patch_size` is a power of two from 4 on."""
    halvings = (patch_size // FIRST_STRIDE).bit_length() - 1
    return (*(FIRST_WIDTH << k for k in range(halvings)), width)


def cell_width(width: int, patch_size: int) -> int:
    """Channels of the cells that `ConvStem.cells_and_patches` gives."""
    return stage_widths(width, patch_size)[-2:][0]


class ConvStem(nn.Module):
    """(B,3,S,S) -> (B,width,S/patch,S/patch): cells of 4 px, then each stage halves the side and doubles the width."""

    def __init__(self, width: int, patch_size: int) -> None:
        """`patch_size` is a power of two from 4 on, which BackboneConfig checks."""
        super().__init__()
        self.widths = widths = stage_widths(width, patch_size)
        entry = nn.Conv2d(3, widths[0], 7, stride=FIRST_STRIDE, padding=3)
        # At the finest grid a second block would cost more than all the others.
        self.stages = nn.ModuleList([nn.Sequential(entry, Residual(widths[0]))])
        for inside, outside in pairwise(widths):
            halving = nn.Conv2d(inside, outside, 3, stride=2, padding=1)
            blocks = (Residual(outside), Residual(outside))
            self.stages.append(nn.Sequential(ImageNorm(inside), nn.GELU(), halving, *blocks))
        self.norm = ImageNorm(width)

    def cells_and_patches(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B,3,S,S) -> the stage before the last, with cells of half a patch, and the patches (B,width,g,g).

        Where there is one stage only, the cells are its patches before the norm.
        """
        stages = self._stages(images)
        return stages[-2:][0], self.norm(stages[-1])

    def forward(self, images: Tensor) -> Tensor:
        return self.cells_and_patches(images)[1]

    def _stages(self, images: Tensor) -> list[Tensor]:
        x = images.contiguous(memory_format=torch.channels_last)
        out = []
        for stage in self.stages:
            x = stage(x)
            out.append(x)
        return out
