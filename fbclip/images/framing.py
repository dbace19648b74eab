"""A frame -> the network's input: region of interest, tiles, ignore mask. `calibrate` and the agent share it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from fbclip.errors import ImageError
from fbclip.images.geometry import BoolMap, Placement, RgbImage, Roi
from fbclip.images.preprocess import check_pixels, ignore_on_map, roi_placement
from fbclip.images.raw_tiles import RawTiles, Tiles
from fbclip.images.tiling import Tiling, map_shape, tile_placements
from fbclip.images.window import DEFAULT_WINDOW, Window


@dataclass(frozen=True, eq=False)
class Framing:
    """Which parts of a line's frames become tiles; `mask` (H,W) bool marks the frame pixels that are not judged.

    `window`: how files become frames, see fbclip/images/window.py; frames that are framed have gone through it.
    """

    roi: Roi | None = None
    tiling: Tiling | None = None
    mask: BoolMap | None = None
    window: Window = DEFAULT_WINDOW


@dataclass(frozen=True, eq=False)
class Framed:
    """tiles (T,3,S,S) float32, normalised, or what a device makes them of; placement of the map in the frame; ignore:
    bool, of the map's shape."""

    tiles: Tiles
    placement: Placement
    ignore: BoolMap | None

    @property
    def network_input(self) -> Tensor:
        """The tiles (T,3,S,S) on the CPU, whoever would make them."""
        return self.tiles if isinstance(self.tiles, Tensor) else self.tiles.tensor()


def frame_image(image: RgbImage, framing: Framing, size: int, patch: int, raw: bool = False) -> Framed:
    """RGB uint8 (H,W,3) -> network input of side S = `size`; with `raw` the device that computes will make it.

    Raises ImageError `too_small` when the region of interest or a tile is smaller than one patch, and
    `wrong_size` when the ignore mask is for frames of another size.
    """
    height, width = image.shape[:2]
    whole = roi_placement(height, width, framing.roi)
    if framing.mask is not None and framing.mask.shape != (height, width):
        h, w = framing.mask.shape
        raise ImageError("wrong_size", f"the ignore mask is for {w}x{h} frames, this one is {width}x{height}")
    parts = tile_placements(whole, size, framing.tiling)
    smallest = min(min(p.width, p.height) for p in parts)
    if smallest < patch:
        raise ImageError("too_small", f"{smallest} pixels a side are less than one patch of {patch}")
    ignore = None
    if framing.mask is not None:
        ignore = ignore_on_map(framing.mask, whole, map_shape(size, framing.tiling))
    check_pixels(image)
    tiles = RawTiles(image, tuple(parts), size)
    return Framed(tiles if raw else tiles.tensor(), whole, ignore)


def mask_from(image: RgbImage) -> BoolMap:
    """An image as an ignore mask: white where the frame is not to be judged; uint8 (H,W,3) -> bool (H,W)."""
    return np.asarray(image.max(axis=2) > 127, dtype=np.bool_)
