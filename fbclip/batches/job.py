"""One image that is to be judged."""

from __future__ import annotations

from dataclasses import dataclass

from fbclip.images.raw_tiles import Tile, Tiles
from fbclip.images.tiling import Tiling
from fbclip.memory.fusion import Fusion


@dataclass(frozen=True, eq=False)
class Job:
    """One image of a batch: tiles (T,3,S,S) float32, or the pixels that the device makes them of, T = 1 without
    `tiling`; adapter id; Gaussian sigma in map pixels.

    `memory` is the id of the memory that is asked; with `fusion` its distances count in the prediction.
    """

    tiles: Tiles
    adapter: str
    sigma: float
    tiling: Tiling | None = None
    memory: str | None = None
    fusion: Fusion | None = None

    def __post_init__(self) -> None:
        if self.fusion is not None and self.memory is None:
            raise ValueError("a fusion needs a memory")


Row = tuple[Job, Tile]
"""One tile of a job: a row of the network's input."""
