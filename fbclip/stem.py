"""A convolutional stem in place of CLIP's single patch convolution ("Early Convolutions Help Transformers See Better").

The embedded model has it: trained from nothing on few pictures, one wide patch convolution hardly learns fine texture.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FIRST_WIDTH = 32


class PictureNorm(nn.Module):
    """Each channel of (B,C,h,w) less its mean over the picture, over its spread there; then a learned gain and offset.

    What differs from the rest of its own picture stands out, whatever the material and the light.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """In float32 inside; the dtype of `x` outside."""
        variance, mean = torch.var_mean(x.float(), dim=(2, 3), correction=0, keepdim=True)
        gain = self.weight[:, None, None] * torch.rsqrt(variance + 1e-5)
        return (x * gain.to(x.dtype) + (self.bias[:, None, None] - mean * gain).to(x.dtype)).to(x.dtype)


class ConvStem(nn.Sequential):
    """(B,3,S,S) -> (B,width,S/patch,S/patch): 3x3 convolutions, each second one halves the side; GELU between."""

    def __init__(self, width: int, patch_size: int) -> None:
        """`patch_size` is a power of two from 4 on, which BackboneConfig checks."""
        layers: list[nn.Module] = []
        inside, halvings = 3, patch_size.bit_length() - 1
        for number in range(halvings - 1):
            channels = FIRST_WIDTH << number
            layers += [nn.Conv2d(inside, channels, 3, stride=2, padding=1), nn.GELU()]
            if number:  # at full resolution a second one would cost more than all the others
                layers += [nn.Conv2d(channels, channels, 3, padding=1), PictureNorm(channels), nn.GELU()]
            inside = channels
        layers += [nn.Conv2d(inside, width, 3, stride=2, padding=1), PictureNorm(width)]
        super().__init__(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Channels last inside, which convolutions on a CPU prefer."""
        x = images.contiguous(memory_format=torch.channels_last)
        for layer in self:
            x = layer(x)
        return x
