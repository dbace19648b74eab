"""What was computed of tiles -> what is said of the images that they were cut from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fbclip.batches.job import Job
from fbclip.batches.rows import RowOutput, TileOutput
from fbclip.images.geometry import BoolMap, FloatMap
from fbclip.images.tiling import Tiling, stitch
from fbclip.memory.fusion import Terms


def images_of(jobs: Sequence[Job], outputs: Sequence[RowOutput]) -> list[tuple[Terms, BoolMap]]:
    """Rows of all tiles in turn -> of each job its terms, and the foreground masks of all its tiles and layers."""
    terms, done = [], 0
    for job in jobs:
        own = outputs[done : done + len(job.tiles)]
        done += len(own)
        margin, margin_map = _whole([row.margins for row in own], job.tiling)
        distances = [row.distances for row in own if row.distances is not None]
        with_memory = _whole(distances, job.tiling) if distances else (None, None)
        foreground = torch.cat([row.foreground for row in own]) == 1
        terms.append((Terms(margin, margin_map, *with_memory), foreground.numpy()))
    return terms


def _whole(tiles: Sequence[TileOutput], tiling: Tiling | None) -> tuple[float, FloatMap]:
    """The image's number is the largest of its tiles', its map is stitched from theirs."""
    number = torch.stack([tile.number for tile in tiles]).amax().item()
    stitched = stitch(torch.stack([tile.map for tile in tiles]), tiling)
    return number, np.ascontiguousarray(stitched.numpy())
