"""Images of several lines -> predictions: one shared backbone, adapters and memories apply per row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from fbclip.artefacts.adapter import Adapter, load_adapter
from fbclip.artefacts.compatibility import check_adapter, check_memory
from fbclip.artefacts.profile import RunningModel
from fbclip.backbone.config import Precision
from fbclip.backbone.tower import Backbone
from fbclip.backbone.weights import EMBEDDED_DIR, find_weights, open_backbone
from fbclip.decision import Prediction
from fbclip.errors import AdapterError, ConfigError
from fbclip.images.framing import Framed, Framing, frame_image
from fbclip.images.geometry import FloatMap, RgbImage
from fbclip.images.tiling import Tiling, stitch
from fbclip.memory.bank import Memory, load_memory
from fbclip.memory.fusion import Fusion, Terms, fused_prediction
from fbclip.memory.index import MemoryIndex, image_distance
from fbclip.method.maps import smooth_map
from fbclip.method.model import Head
from fbclip.precision import set_precision

K = TypeVar("K")
ROWS_AT_ONCE = 8
"""Tiles are spread over passes of at most so many rows, or of as many as there are images."""


@dataclass(frozen=True, eq=False)
class Job:
    """One image of a batch: tiles (T,3,S,S) float32, T = 1 without `tiling`; its adapter; smoothing in map pixels.

    `memory` is the id of the memory that is asked; with `fusion` its distances count in the prediction.
    """

    tiles: Tensor
    adapter: str
    sigma: float
    tiling: Tiling | None = None
    memory: str | None = None
    fusion: Fusion | None = None

    def __post_init__(self) -> None:
        if self.fusion is not None and self.memory is None:
            raise ValueError("a fusion needs a memory")


_Tile = tuple[Job, Tensor]
_Drawn = tuple[Tensor, Tensor]
"""What one tile shows, on the CPU: a number () and a smoothed map (S,S), both float32."""


def pick_device(wanted: str) -> torch.device:
    """`auto` takes the GPU when there is one; raises ConfigError when a named one is missing."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ConfigError(f"model.device {wanted}: no such GPU on this machine; use cpu or auto")
    return device


class Detector:
    """Frozen model on one device. Not thread-safe: one thread owns it.

    In a lower `precision` only the matrix products of the blocks and of FB-Attention are lower; foreground masks,
    views, background subtraction and margins are float32 always.
    """

    def __init__(
        self,
        backbone: Backbone,
        backbone_sha256: str,
        adapters: Sequence[Adapter],
        device: torch.device,
        precision: Precision = "float32",
        memories: Sequence[Memory] = (),
    ) -> None:
        self.device = device
        self.precision: Precision = precision
        self.backbone = backbone.to(device)
        self.backbone_sha256 = backbone_sha256
        self.size = backbone.image_size
        self._heads: dict[str, tuple[Head, Tensor]] = {}
        for adapter in adapters:
            check_adapter(adapter, backbone.config, backbone_sha256, self.size)
            self._heads[adapter.id] = (adapter.head().to(device), adapter.prototypes.to(device))
        set_precision(self.backbone, (head for head, _ in self._heads.values()), precision)
        self._lookups: dict[str, MemoryIndex] = {}
        for memory in memories:
            check_memory(memory, backbone.config, backbone_sha256, self.size)
            self._lookups[memory.id] = MemoryIndex(memory, device)
        wanted = [head.config.layers for head, _ in self._heads.values()]
        wanted += [lookup.config.layers for lookup in self._lookups.values()]
        self._layers = sorted({layer for layers in wanted for layer in layers})
        # TF32 changes margins by more than a threshold can bear.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False

    def running(self, adapter: str, memory: str | None = None) -> RunningModel:
        """What a profile has to match."""
        return RunningModel(
            adapter,
            self.backbone.config.name,
            self.backbone_sha256,
            self.size,
            self.device.type,
            precision=self.precision,
            memory=memory,
        )

    @property
    def adapters(self) -> tuple[str, ...]:
        """Ids in the order in which they were given."""
        return tuple(self._heads)

    @property
    def memories(self) -> tuple[str, ...]:
        """Ids in the order in which they were given."""
        return tuple(self._lookups)

    @property
    def smoothing(self) -> Mapping[str, float]:
        """Adapter id -> the Gaussian sigma it was tuned with, in map pixels."""
        return {key: head.config.score.smoothing_sigma for key, (head, _) in self._heads.items()}

    def frame(self, image: RgbImage, framing: Framing) -> Framed:
        """RGB uint8 (H,W,3) -> this model's input; raises ImageError when it cannot be judged."""
        return frame_image(image, framing, self.size, self.backbone.config.patch_size)

    def warm_up(self) -> None:
        """One throw-away image a head and a memory, so that the first real frame is not the slow one."""
        blank = torch.zeros(1, 3, self.size, self.size)
        for adapter, sigma in self.smoothing.items():
            self.infer([Job(blank, adapter, sigma)])
        for memory in self._lookups:
            self.infer([Job(blank, self.adapters[0], self.smoothing[self.adapters[0]], memory=memory)])

    def infer(self, jobs: Sequence[Job]) -> list[Prediction]:
        """Predictions in the order of `jobs`, fused where a job says so.

        A row does not depend on its neighbours beyond float rounding.
        """
        return [fused_prediction(terms, job.fusion) for terms, job in zip(self.infer_terms(jobs), jobs, strict=True)]

    def infer_terms(self, jobs: Sequence[Job]) -> list[Terms]:
        """What `infer` fuses, in the order of `jobs`: `calibrate` measures the scales of a fusion on it."""
        tiles = [(job, tile) for job in jobs for tile in job.tiles]
        step = max(len(jobs), ROWS_AT_ONCE)
        shown: list[tuple[_Drawn, _Drawn | None]] = []
        for start in range(0, len(tiles), step):
            shown += self._pass(tiles[start : start + step])
        out, done = [], 0
        for job in jobs:
            own = shown[done : done + len(job.tiles)]
            done += len(own)
            margin, drawn = _whole([margins for margins, _ in own], job.tiling)
            far = [distances for _, distances in own if distances is not None]
            out.append(Terms(margin, drawn, *_whole(far, job.tiling)) if far else Terms(margin, drawn))
        return out

    @torch.inference_mode()
    def _pass(self, rows: Sequence[_Tile]) -> list[tuple[_Drawn, _Drawn | None]]:
        """Margins, and distances where the row's job names a memory."""
        images = torch.stack([tile for _, tile in rows]).to(self.device)
        tokens = dict(zip(self._layers, self.backbone(images, self._layers), strict=True))
        margins, distances = self._margins(rows, tokens), self._distances(rows, tokens)
        return [(margins[index], distances.get(index)) for index in range(len(rows))]

    def _margins(self, rows: Sequence[_Tile], tokens: Mapping[int, Tensor]) -> dict[int, _Drawn]:
        found: dict[int, _Drawn] = {}
        for (adapter, sigma), positions in _groups(rows, lambda job: (job.adapter, job.sigma)):
            head, prototypes = self._heads[adapter]
            result = head.predict(_of_rows(tokens, head.config.layers, positions), prototypes, self.backbone.projection)
            found |= self._drawn(positions, result.image_margin, result.grid_margin, adapter, sigma)
        return found

    def _distances(self, rows: Sequence[_Tile], tokens: Mapping[int, Tensor]) -> dict[int, _Drawn]:
        found: dict[int, _Drawn] = {}
        for (memory, adapter, sigma), positions in _groups(rows, lambda job: (job.memory, job.adapter, job.sigma)):
            if memory is not None:
                lookup = self._lookups[memory]
                grid = lookup.distances(_of_rows(tokens, lookup.config.layers, positions))
                found |= self._drawn(positions, image_distance(grid.flatten(1)), grid, adapter, sigma)
        return found

    def _drawn(
        self, positions: Sequence[int], numbers: Tensor, grid: Tensor, adapter: str, sigma: float
    ) -> dict[int, _Drawn]:
        """numbers (B,) and patch grids (B,h,h), one a place."""
        maps = smooth_map(grid, self.size, sigma, self._heads[adapter][0].config.score.smoothing_truncate).cpu()
        return dict(zip(positions, zip(numbers.float().cpu(), maps, strict=True), strict=True))


def _groups(rows: Sequence[_Tile], key: Callable[[Job], K]) -> list[tuple[K, list[int]]]:
    """Rows that are computed together: (key, their places)."""
    groups: dict[K, list[int]] = {}
    for index, (job, _) in enumerate(rows):
        groups.setdefault(key(job), []).append(index)
    return list(groups.items())


def _of_rows(tokens: Mapping[int, Tensor], layers: Sequence[int], positions: Sequence[int]) -> dict[int, Tensor]:
    """Layers (B,N,C) of the rows at `positions`, not copied where that is all of them."""
    whole = {layer: tokens[layer] for layer in layers}
    return {k: v if len(positions) == len(v) else v[list(positions)] for k, v in whole.items()}


def _whole(tiles: Sequence[_Drawn], tiling: Tiling | None) -> tuple[float, FloatMap]:
    """The largest number speaks for the image, the maps are stitched."""
    number = torch.stack([number for number, _ in tiles]).amax().item()
    drawn = stitch(torch.stack([drawn for _, drawn in tiles]), tiling)
    return number, np.ascontiguousarray(drawn.numpy())


def open_detector(
    backbone: str,
    weights: Path | None = None,
    adapters: Sequence[Path] = (),
    device: str = "auto",
    precision: Precision = "float32",
    memories: Sequence[Path] = (),
) -> Detector:
    """Backbone by name with its adapters; without any, the embedded backbone brings its own.

    Raises WeightsError, AdapterError, MemoryBankError or ConfigError, each naming the file and the way out.
    """
    folders = list(dict.fromkeys(adapters))
    if not folders:
        if backbone != "embedded":
            raise AdapterError(
                f"backbone {backbone} needs an adapter: name one as model.adapter (`calibrate import` makes it)"
            )
        folders = [EMBEDDED_DIR / "adapter"]
    loaded = [load_adapter(folder) for folder in folders]
    file = find_weights(backbone, weights)
    model, digest = open_backbone(file, loaded[0].manifest.method.image_size)
    remembered = [load_memory(folder) for folder in dict.fromkeys(memories)]
    return Detector(model, digest, loaded, pick_device(device), precision, remembered)
