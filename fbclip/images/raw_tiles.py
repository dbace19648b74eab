"""Tiles that the device makes itself: the pixels they are cut from, and where. Uploaded as uint8, once an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from fbclip.images.geometry import Placement, RgbImage
from fbclip.images.preprocess import preprocess, preprocess_pixels


@dataclass(frozen=True, eq=False)
class RawTiles:
    """image (H,W,3) uint8; placements of T tiles in it; size: side of each as the network's input."""

    image: RgbImage
    placements: tuple[Placement, ...]
    size: int

    def __len__(self) -> int:
        return len(self.placements)

    def __iter__(self) -> Iterator[RawTile]:
        return (RawTile(self, index) for index in range(len(self)))

    def tensor(self) -> Tensor:
        """(T,3,S,S) float32, made on the CPU by Pillow: what the device's own tiles equal."""
        return torch.stack([preprocess(self.image, self.size, place) for place in self.placements])

    @cached_property
    def pixels(self) -> Tensor:
        """uint8 (h,w,3), contiguous, which torch may share: the smallest part of the image that holds every tile."""
        left, top = min(p.x for p in self.placements), min(p.y for p in self.placements)
        right = max(p.x + p.width for p in self.placements)
        bottom = max(p.y + p.height for p in self.placements)
        return torch.from_numpy(np.require(self.image[top:bottom, left:right], requirements=["C", "W"]))

    def cut(self, pixels: Tensor, index: int) -> Tensor:
        """`pixels` on a device -> one tile there, (3,S,S) float32, normalised."""
        place = self.placements[index]
        top = place.y - min(p.y for p in self.placements)
        left = place.x - min(p.x for p in self.placements)
        return preprocess_pixels(pixels[top : top + place.height, left : left + place.width], self.size)


@dataclass(frozen=True, eq=False)
class RawTile:
    """One of them."""

    whole: RawTiles
    index: int


Tile = Tensor | RawTile
"""Network input (3,S,S) float32, or what a device makes it of."""
Tiles = Tensor | RawTiles
"""(T,3,S,S) float32, or what a device makes them of."""


def put_tiles(tiles: Sequence[Tile], upload: Callable[[Tensor], Tensor]) -> Tensor:
    """Network input (B,3,S,S) where `upload` puts tensors; an image of several tiles is uploaded once."""
    ready = [tile for tile in tiles if isinstance(tile, Tensor)]
    if len(ready) == len(tiles):
        # Nothing is left to be made, so all go up as one.
        return upload(torch.stack(ready))
    there: dict[RawTiles, Tensor] = {}
    for tile in tiles:
        if isinstance(tile, RawTile) and tile.whole not in there:
            there[tile.whole] = upload(tile.whole.pixels)
    return torch.stack(
        [upload(tile) if isinstance(tile, Tensor) else tile.whole.cut(there[tile.whole], tile.index) for tile in tiles]
    )
