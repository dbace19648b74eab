"""Images of several lines -> predictions: one shared backbone; adapters and memories apply to rows of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from fbclip.artefacts.adapter import Adapter, load_adapter
from fbclip.artefacts.compatibility import RunningModel, check_adapter, check_memory
from fbclip.artefacts.generation import embedded_model
from fbclip.artefacts.peers import open_peer
from fbclip.backbone.config import EMBEDDED, Precision
from fbclip.backbone.tower import Backbone
from fbclip.backbone.weights import EMBEDDED_MODELS, EmbeddedModel, embedded_weights, find_weights, open_backbone
from fbclip.decision import Prediction
from fbclip.errors import AdapterError
from fbclip.features.catalog import Features
from fbclip.features.imagenet import ImageNetFeatures, Strides, open_imagenet
from fbclip.images.framing import Framed, Framing, frame_image
from fbclip.images.geometry import FloatMap, RgbImage
from fbclip.images.tiling import Tiling, stitch
from fbclip.memory.bank import Memory, load_memory
from fbclip.memory.features import MemoryConfig
from fbclip.memory.fusion import Fusion, Terms, fused_prediction
from fbclip.memory.index import MemoryIndex, image_distance
from fbclip.memory.network import FeatureNetwork, backbone_network, imagenet_network
from fbclip.method.config import ScoreConfig
from fbclip.method.maps import smooth_map
from fbclip.method.model import Head
from fbclip.peers.config import FBCLIP
from fbclip.peers.output import Peer
from fbclip.runtime import MATRIX_DTYPES, forbid_tf32, pick_device, set_precision

K = TypeVar("K")
ROWS_AT_ONCE = 8
"""Tiles are spread over passes of at most so many rows, or of as many as there are images."""


@dataclass(frozen=True, eq=False)
class Job:
    """One image of a batch: tiles (T,3,S,S) float32, T = 1 without `tiling`; adapter id; Gaussian sigma in map pixels.

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


class _TileOutput(NamedTuple):
    """Of one tile, on the CPU: a number () and a smoothed map (S,S), both float32; margins or distances."""

    number: Tensor
    map: Tensor


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
        # A backbone that looks through these features has them; a memory beside another one opens them.
        self._imagenet: ImageNetFeatures | None = backbone.features
        self._heads: dict[str, tuple[Head, Tensor]] = {}
        self._peers: dict[str, Peer] = {}
        self._adapters: dict[str, Adapter] = {}
        for adapter in adapters:
            check_adapter(adapter, backbone.config, backbone_sha256, self.size)
            self._adapters[adapter.id] = adapter
            if adapter.manifest.peer is not None:
                self._peers[adapter.id] = open_peer(adapter, self.backbone).to(device)
            else:
                self._heads[adapter.id] = (adapter.head().to(device), adapter.prototypes.to(device))
        set_precision(self.backbone, (head for head, _ in self._heads.values()), precision)
        self._indexes: dict[str, MemoryIndex] = {}
        for memory in memories:
            check_memory(memory, self.network(memory.manifest.config.features))
            self._indexes[memory.id] = MemoryIndex(memory, device)
        wanted = [head.config.layers for head, _ in self._heads.values()]
        wanted += [index.config.layers for index in self._indexes.values() if index.config.features == "backbone"]
        self._layers = sorted({layer for layers in wanted for layer in layers})
        forbid_tf32()

    def extended(self, adapters: Sequence[Adapter] = (), memories: Sequence[Memory] = ()) -> Detector:
        """Another detector, on the same backbone, that has these as well; this one stays as it is.

        Raises AdapterError, MemoryBankError or WeightsError where one of them does not fit.
        """
        more = Detector(self.backbone, self.backbone_sha256, adapters, self.device, self.precision, memories)
        more._imagenet = more._imagenet or self._imagenet
        more._heads = self._heads | more._heads
        more._peers = self._peers | more._peers
        more._adapters = self._adapters | more._adapters
        more._indexes = self._indexes | more._indexes
        more._layers = sorted({*self._layers, *more._layers})
        return more

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
            method=self._adapters[adapter].manifest.method_name if adapter in self._adapters else FBCLIP,
        )

    @property
    def adapters(self) -> tuple[str, ...]:
        """Ids in the order in which they were given."""
        return tuple(self._adapters)

    def adapter(self, adapter: str) -> Adapter:
        """The one with this id."""
        return self._adapters[adapter]

    @property
    def memories(self) -> tuple[str, ...]:
        """Ids in the order in which they were given."""
        return tuple(self._indexes)

    @property
    def smoothing(self) -> Mapping[str, float]:
        """Adapter id -> the Gaussian sigma it was tuned with, in map pixels."""
        return {key: adapter.manifest.smoothing_sigma for key, adapter in self._adapters.items()}

    def frame(self, image: RgbImage, framing: Framing) -> Framed:
        """RGB uint8 (H,W,3) -> this model's input; raises ImageError when it cannot be judged."""
        return frame_image(image, framing, self.size, self.backbone.config.patch_size)

    def network(self, features: Features) -> FeatureNetwork:
        """The network that memories of these features are made of; raises WeightsError where it is not installed."""
        if features == "backbone":
            return backbone_network(self.backbone.config, self.backbone_sha256, self.size)
        if self._imagenet is None:
            self._imagenet = open_imagenet().compute_in(MATRIX_DTYPES[self.precision]).to(self.device)
        return imagenet_network(self.size)

    @torch.inference_mode()
    def memory_layers(self, images: Tensor, config: MemoryConfig) -> dict[int, Tensor]:
        """Network input (B,3,S,S) -> the raw tokens that a memory of this kind is made of, by layer."""
        images = images.to(self.device)
        if config.features == "backbone":
            return dict(zip(config.layers, self.backbone(images, config.layers), strict=True))
        self.network(config.features)
        return dict(self._strides(images))

    def _strides(self, images: Tensor) -> Strides:
        """What the imagenet features give; nothing where neither the backbone nor a memory looks through them."""
        return {} if self._imagenet is None else self._imagenet(images)

    def warm_up(self) -> None:
        """One throw-away image a head and a memory, so that the first real frame is not the slow one."""
        blank = torch.zeros(1, 3, self.size, self.size)
        for adapter, sigma in self.smoothing.items():
            self.infer([Job(blank, adapter, sigma)])
        for memory in self._indexes:
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
        outputs: list[tuple[_TileOutput, _TileOutput | None]] = []
        for start in range(0, len(tiles), step):
            outputs += self._pass(tiles[start : start + step])
        terms, done = [], 0
        for job in jobs:
            own = outputs[done : done + len(job.tiles)]
            done += len(own)
            margin, margin_map = _whole([margins for margins, _ in own], job.tiling)
            distances = [distance for _, distance in own if distance is not None]
            with_memory = _whole(distances, job.tiling) if distances else (None, None)
            terms.append(Terms(margin, margin_map, *with_memory))
        return terms

    @torch.inference_mode()
    def _pass(self, rows: Sequence[_Tile]) -> list[tuple[_TileOutput, _TileOutput | None]]:
        """Margins, and distances where the row's job names a memory."""
        images = torch.stack([tile for _, tile in rows]).to(self.device)
        strides = self._strides(images)
        layers = self.backbone(images, self._layers, strides) if self._layers else []
        tokens = dict(zip(self._layers, layers, strict=True))
        margins, distances = self._margins(rows, images, tokens), self._distances(rows, strides, tokens)
        return [(margins[index], distances.get(index)) for index in range(len(rows))]

    def _margins(self, rows: Sequence[_Tile], images: Tensor, tokens: Mapping[int, Tensor]) -> dict[int, _TileOutput]:
        outputs: dict[int, _TileOutput] = {}
        for (adapter, sigma), group in _groups(rows, lambda job: (job.adapter, job.sigma)):
            if adapter in self._peers:
                # It looks at the blocks in its own way, so it takes the images.
                judged = self._peers[adapter](images[group])
                outputs |= self._outputs(group, judged.image_margin, judged.grid_margin, adapter, sigma)
                continue
            head, prototypes = self._heads[adapter]
            result = head.predict(_of_rows(tokens, head.config.layers, group), prototypes, self.backbone.projection)
            outputs |= self._outputs(group, result.image_margin, result.grid_margin, adapter, sigma)
        return outputs

    def _distances(
        self, rows: Sequence[_Tile], strides: Strides, tokens: Mapping[int, Tensor]
    ) -> dict[int, _TileOutput]:
        outputs: dict[int, _TileOutput] = {}
        for (memory, adapter, sigma), group in _groups(rows, lambda job: (job.memory, job.adapter, job.sigma)):
            if memory is not None:
                index = self._indexes[memory]
                source = tokens if index.config.features == "backbone" else strides
                grid = index.distances(_of_rows(source, index.config.layers, group))
                numbers = image_distance(grid.flatten(1), index.config.farthest)
                outputs |= self._outputs(group, numbers, grid, adapter, sigma)
        return outputs

    def _outputs(
        self, group: Sequence[int], numbers: Tensor, grids: Tensor, adapter: str, sigma: float
    ) -> dict[int, _TileOutput]:
        """Numbers (B,) and patch grids (B,h,h) of the rows in `group` -> row -> number and smoothed map."""
        maps = smooth_map(grids, self.size, sigma, self._truncate(adapter)).cpu()
        return dict(zip(group, map(_TileOutput, numbers.float().cpu(), maps), strict=True))

    def _truncate(self, adapter: str) -> float:
        """Where the Gaussian over an adapter's maps ends, in sigmas."""
        score = self._heads[adapter][0].config.score if adapter in self._heads else ScoreConfig()
        return score.smoothing_truncate


def _groups(rows: Sequence[_Tile], key: Callable[[Job], K]) -> list[tuple[K, list[int]]]:
    """Rows that are computed together: (key, their indices)."""
    groups: dict[K, list[int]] = {}
    for index, (job, _) in enumerate(rows):
        groups.setdefault(key(job), []).append(index)
    return list(groups.items())


def _of_rows(tokens: Mapping[int, Tensor], layers: Sequence[int], group: Sequence[int]) -> dict[int, Tensor]:
    """Layers (B,N,C) of the rows in `group`, not copied where that is all of them."""
    whole = {layer: tokens[layer] for layer in layers}
    return {k: v if len(group) == len(v) else v[list(group)] for k, v in whole.items()}


def _whole(tiles: Sequence[_TileOutput], tiling: Tiling | None) -> tuple[float, FloatMap]:
    """The image's number is the largest of its tiles', its map is stitched from theirs."""
    number = torch.stack([tile.number for tile in tiles]).amax().item()
    stitched = stitch(torch.stack([tile.map for tile in tiles]), tiling)
    return number, np.ascontiguousarray(stitched.numpy())


def open_detector(
    backbone: str,
    weights: Path | None = None,
    adapters: Sequence[Path | None] = (),
    device: str = "auto",
    precision: Precision = "float32",
    memories: Sequence[Path] = (),
    profiles: Sequence[Path] = (),
    embedded: EmbeddedModel | None = None,
) -> Detector:
    """Backbone by name with its adapters; None among them, or none at all, is the one that the embedded model brings.

    Which embedded model that is `profiles` and the other files tell, unless one is given. Raises WeightsError,
    AdapterError, MemoryBankError or ConfigError, each naming the file and the way out.
    """
    named = [folder for folder in adapters if folder is not None]
    if backbone != EMBEDDED.name or weights is not None:
        embedded = None
    elif embedded is None:
        embedded = embedded_model(named, memories, profiles)
    folders = [_own_adapter(backbone, embedded) if folder is None else folder for folder in adapters or (None,)]
    loaded = [load_adapter(folder) for folder in dict.fromkeys(folders)]
    file = find_weights(backbone, weights) if embedded is None else embedded_weights(embedded)
    model, digest = open_backbone(file, loaded[0].manifest.image_size)
    banks = [load_memory(folder) for folder in dict.fromkeys(memories)]
    return Detector(model, digest, loaded, pick_device(device), precision, banks)


def _own_adapter(backbone: str, embedded: EmbeddedModel | None) -> Path:
    if backbone != EMBEDDED.name:
        raise AdapterError(
            f"backbone {backbone} needs an adapter: name one as model.adapter (`calibrate import` makes it)"
        )
    return (embedded or EMBEDDED_MODELS[0]).adapter
