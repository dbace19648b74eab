"""Large images in overlapping tiles, so that a small defect is not lost in the resize.

Every tile is judged as an image of its own; the maps are stitched into one, and the largest margin is
the image's. Tiles are counted, not measured in pixels: a threshold belongs to one scale, whatever a file's size.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from pydantic import Field, model_validator
from torch import Tensor

from fbclip.frozen import Frozen
from fbclip.images.geometry import Placement

MAX_TILES = 64


class Tiling(Frozen):
    """`columns` × `rows` tiles; neighbours share `overlap` of a tile's side."""

    columns: int = Field(ge=1)
    rows: int = Field(ge=1)
    overlap: float = Field(0.2, ge=0, le=0.5)

    @model_validator(mode="after")
    def _count(self) -> Tiling:
        if not 2 <= self.columns * self.rows <= MAX_TILES:
            raise ValueError(f"tiling needs 2 to {MAX_TILES} tiles, got {self.columns}x{self.rows}")
        return self

    def shared(self, size: int) -> int:
        """Map pixels that two neighbours share, for tiles of S = `size` map pixels."""
        return int(self.overlap * size)


def map_shape(size: int, tiling: Tiling | None) -> tuple[int, int]:
    """(height, width) of the map: (S,S), or that of the stitched tiles."""
    if tiling is None:
        return size, size
    stride = size - tiling.shared(size)
    return size + (tiling.rows - 1) * stride, size + (tiling.columns - 1) * stride


def tile_placements(whole: Placement, size: int, tiling: Tiling | None) -> list[Placement]:
    """Pixels of the frame behind each tile, row by row; together they cover `whole`."""
    if tiling is None:
        return [whole]
    height, width = map_shape(size, tiling)
    stride = size - tiling.shared(size)
    xs = [_span(whole.x, whole.width, column * stride, size, width) for column in range(tiling.columns)]
    ys = [_span(whole.y, whole.height, row * stride, size, height) for row in range(tiling.rows)]
    return [Placement(x, y, w, h) for y, h in ys for x, w in xs]


def _span(start: int, length: int, first: int, size: int, total: int) -> tuple[int, int]:
    low = round(first * length / total)
    return start + low, round((first + size) * length / total) - low


def stitch(maps: Tensor, tiling: Tiling | None) -> Tensor:
    """Tile maps (T,S,S), row by row -> one map (H,W). Where tiles overlap, the nearer to its middle counts more."""
    if tiling is None:
        return maps[0]
    size = maps.shape[-1]
    stride = size - tiling.shared(size)
    out = maps.new_zeros(map_shape(size, tiling))
    for index, tile in enumerate(maps):
        row, column = divmod(index, tiling.columns)
        down = _ramp(size, tiling.shared(size), row > 0, row < tiling.rows - 1).to(maps)
        across = _ramp(size, tiling.shared(size), column > 0, column < tiling.columns - 1).to(maps)
        top, left = row * stride, column * stride
        out[top : top + size, left : left + size] += tile * down[:, None] * across
    return out


@lru_cache(maxsize=16)
def _ramp(size: int, shared: int, before: bool, after: bool) -> Tensor:
    """Weights (S,) along one axis: they rise and fall where a neighbour overlaps, and add up to 1 with its."""
    weights = torch.ones(size)
    rise = (torch.arange(shared) + 0.5) / max(shared, 1)
    if before and shared:
        weights[:shared] = rise
    if after and shared:
        weights[size - shared :] = rise.flip(0)
    return weights
