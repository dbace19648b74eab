"""Patch grid -> smoothed map: bilinear to S×S, then a Gaussian. Section 6 of the method.

Both steps are linear and separable, so they are two small matrices, built once a size.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F


@lru_cache(maxsize=8)
def upsampling_matrix(grid: int, size: int) -> Tensor:
    """(S,h): bilinear interpolation along one axis, align_corners=False."""
    eye = torch.eye(grid, dtype=torch.float64).unsqueeze(1)
    return F.interpolate(eye, size=size, mode="linear", align_corners=False).squeeze(1).T.contiguous()


@lru_cache(maxsize=8)
def smoothing_matrix(size: int, sigma: float, truncate: float) -> Tensor:
    """(S,S): Gaussian along one axis with the edge repeated in its mirror image, as scipy's default."""
    if sigma == 0:
        return torch.eye(size, dtype=torch.float64)
    radius = int(truncate * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    out = torch.zeros(size, size, dtype=torch.float64)
    for row in range(size):
        column = (row + offsets.long()) % (2 * size)
        column = torch.where(column >= size, 2 * size - 1 - column, column)
        out[row].index_add_(0, column, kernel)
    return out


@lru_cache(maxsize=8)
def combined_matrix(grid: int, size: int, sigma: float, truncate: float, device: str) -> Tensor:
    """(S,h): upsampling and smoothing along one axis, float32."""
    matrix = smoothing_matrix(size, sigma, truncate) @ upsampling_matrix(grid, size)
    return matrix.float().to(device)


def upsample(grid: Tensor, size: int) -> Tensor:
    """(B,h,w) -> (B,S,S) bilinear."""
    return F.interpolate(grid.unsqueeze(1), size=(size, size), mode="bilinear", align_corners=False).squeeze(1)


def smooth_map(grid: Tensor, size: int, sigma: float, truncate: float) -> Tensor:
    """Square patch grid (B,h,h) float32 -> upsampled and smoothed (B,S,S) float32; sigma in map pixels."""
    return smoothed_with(combined_matrix(grid.shape[-1], size, sigma, truncate, str(grid.device)), grid)


def smoothed_with(matrix: Tensor, grid: Tensor) -> Tensor:
    """A `combined_matrix` (S,h) and square patch grids (B,h,h) -> (B,S,S) float32."""
    return matrix @ grid.float() @ matrix.T
