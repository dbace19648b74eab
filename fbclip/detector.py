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
from fbclip.artefacts.compatibility import RunningModel, check_memory
from fbclip.artefacts.generation import embedded_model
from fbclip.backbone.config import EMBEDDED, BackboneConfig, Precision, RuntimeName
from fbclip.backbone.weights import EMBEDDED_MODELS, EmbeddedModel, embedded_weights, find_weights, open_backbone
from fbclip.decision import Prediction
from fbclip.engines.engine import Engine, Seen
from fbclip.engines.exported_engine import RunsOn, open_export
from fbclip.engines.torch_engine import TorchEngine
from fbclip.errors import AdapterError, ExportError
from fbclip.features.catalog import Features
from fbclip.images.framing import Framed, Framing, frame_image
from fbclip.images.geometry import BoolMap, FloatMap, RgbImage
from fbclip.images.tiling import Tiling, stitch
from fbclip.memory.bank import Memory, load_memory
from fbclip.memory.features import MemoryConfig
from fbclip.memory.fusion import Fusion, Terms, fused_prediction
from fbclip.memory.index import MemoryIndex, image_distance
from fbclip.memory.network import FeatureNetwork, backbone_network, imagenet_network
from fbclip.method.config import ScoreConfig
from fbclip.method.maps import smooth_map
from fbclip.peers.config import FBCLIP
from fbclip.runtime import pick_device

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


class _RowOutput(NamedTuple):
    """Of one tile: margins, foreground masks (K·L,), and distances where a memory was asked."""

    margins: _TileOutput
    foreground: Tensor
    distances: _TileOutput | None


class Detector:
    """Frozen model on one device. Not thread-safe: one thread owns it. `engine` is what computes."""

    def __init__(self, engine: Engine, memories: Sequence[Memory] = ()) -> None:
        """Raises MemoryBankError, WeightsError or ExportError where a memory does not fit the engine."""
        self._engine = engine
        self._indexes: dict[str, MemoryIndex] = {}
        for memory in memories:
            check_memory(memory, self.network(memory.manifest.config.features))
            self._indexes[memory.id] = MemoryIndex(memory, engine.device)
        wanted = [method.layers for method in engine.methods.values()]
        wanted += [index.config.layers for index in self._indexes.values() if index.config.features == "backbone"]
        self._layers = sorted({layer for layers in wanted for layer in layers})
        engine.check_layers(self._layers)

    def extended(self, adapters: Sequence[Adapter] = (), memories: Sequence[Memory] = ()) -> Detector:
        """Another detector, on the same backbone, that has these as well; this one stays as it is.

        Raises AdapterError, MemoryBankError, WeightsError or ExportError where one of them does not fit.
        """
        more = Detector(self._engine.with_adapters(adapters), memories)
        more._indexes = self._indexes | more._indexes
        more._layers = sorted({*self._layers, *more._layers})
        return more

    def judging(self, adapter: Adapter) -> Detector:
        """Another detector, on the same backbone, that has this adapter alone and no memory; raises AdapterError."""
        return Detector(self._engine.with_adapters([adapter], alone=True))

    def remembering(self, adapter: str, images: Tensor, digests: Sequence[str]) -> Adapter:
        """The few-shot form of an adapter, which remembers normal images (K,3,S,S); raises ConfigError without one."""
        return self._engine.remembering(adapter, images, digests)

    def running(self, adapter: str, memory: str | None = None) -> RunningModel:
        """What a profile has to match."""
        engine = self._engine
        return RunningModel(
            adapter,
            engine.config.name,
            engine.backbone_sha256,
            engine.size,
            engine.device.type,
            runtime=engine.runtime,
            precision=engine.precision,
            memory=memory,
            export=engine.export,
            method=engine.adapters[adapter].manifest.method_name if adapter in engine.adapters else FBCLIP,
        )

    @property
    def backbone_config(self) -> BackboneConfig:
        """The shape of the CLIP that carries the method."""
        return self._engine.config

    @property
    def backbone_sha256(self) -> str:
        """Of the tensors of its image tower."""
        return self._engine.backbone_sha256

    @property
    def size(self) -> int:
        """Side of the network's input in pixels."""
        return self._engine.size

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._engine.device

    @property
    def runtime(self) -> RuntimeName:
        """What computes."""
        return self._engine.runtime

    @property
    def precision(self) -> Precision:
        """Of the matrix products."""
        return self._engine.precision

    @property
    def adapters(self) -> tuple[str, ...]:
        """Ids in the order in which they were given."""
        return tuple(self._engine.adapters)

    def adapter(self, adapter: str) -> Adapter:
        """The one with this id."""
        return self._engine.adapters[adapter]

    @property
    def memories(self) -> tuple[str, ...]:
        """Ids in the order in which they were given."""
        return tuple(self._indexes)

    @property
    def smoothing(self) -> Mapping[str, float]:
        """Adapter id -> the Gaussian sigma it was tuned with, in map pixels."""
        return {key: adapter.manifest.smoothing_sigma for key, adapter in self._engine.adapters.items()}

    def frame(self, image: RgbImage, framing: Framing) -> Framed:
        """RGB uint8 (H,W,3) -> this model's input; raises ImageError when it cannot be judged."""
        return frame_image(image, framing, self.size, self.backbone_config.patch_size)

    def network(self, features: Features) -> FeatureNetwork:
        """The network that memories of these features are made of; raises WeightsError where it is not installed."""
        if features == "backbone":
            return backbone_network(self.backbone_config, self.backbone_sha256, self.size)
        self._engine.open_features()
        return imagenet_network(self.size)

    def memory_layers(self, images: Tensor, config: MemoryConfig) -> Mapping[int, Tensor]:
        """Network input (B,3,S,S) -> the raw tokens that a memory of this kind is made of, by layer."""
        if config.features == "backbone":
            return self._engine.see(images, config.layers).layers
        self.network(config.features)
        return self._engine.see(images, ()).strides

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
        return [terms for terms, _ in self.infer_with_masks(jobs)]

    def infer_with_masks(self, jobs: Sequence[Job]) -> list[tuple[Terms, BoolMap]]:
        """The same, with which tokens the foreground masks took for foreground, of all tiles and layers in turn."""
        tiles = [(job, tile) for job in jobs for tile in job.tiles]
        step = max(len(jobs), ROWS_AT_ONCE)
        outputs: list[_RowOutput] = []
        for start in range(0, len(tiles), step):
            outputs += self._pass(tiles[start : start + step])
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

    @torch.inference_mode()
    def _pass(self, rows: Sequence[_Tile]) -> list[_RowOutput]:
        """Margins, and distances where the row's job names a memory."""
        images = torch.stack([tile for _, tile in rows])
        seen = self._engine.see(images, self._layers)
        margins, distances = self._margins(rows, images, seen), self._distances(rows, seen)
        return [_RowOutput(*margins[index], distances.get(index)) for index in range(len(rows))]

    def _margins(self, rows: Sequence[_Tile], images: Tensor, seen: Seen) -> dict[int, tuple[_TileOutput, Tensor]]:
        outputs: dict[int, tuple[_TileOutput, Tensor]] = {}
        for (adapter, sigma), group in _groups(rows, lambda job: (job.adapter, job.sigma)):
            method = self._engine.methods.get(adapter)
            if method is None:
                said = self._engine.judge_images(adapter, images[group], sigma)
            else:
                said = self._engine.judge(adapter, _of_rows(seen.layers, method.layers, group), sigma)
            columns = (said.margin.float().cpu(), said.map.cpu(), said.foreground.cpu())
            for index, margin, margin_map, foreground in zip(group, *columns, strict=True):
                outputs[index] = (_TileOutput(margin, margin_map), foreground)
        return outputs

    def _distances(self, rows: Sequence[_Tile], seen: Seen) -> dict[int, _TileOutput]:
        outputs: dict[int, _TileOutput] = {}
        for (memory, adapter, sigma), group in _groups(rows, lambda job: (job.memory, job.adapter, job.sigma)):
            if memory is not None:
                index = self._indexes[memory]
                source = seen.layers if index.config.features == "backbone" else seen.strides
                grid = index.distances(_of_rows(source, index.config.layers, group))
                numbers = image_distance(grid.flatten(1), index.config.farthest).float().cpu()
                method = self._engine.methods.get(adapter)
                truncate = (ScoreConfig() if method is None else method.score).smoothing_truncate
                maps = smooth_map(grid, self.size, sigma, truncate).cpu()
                outputs |= dict(zip(group, map(_TileOutput, numbers, maps), strict=True))
        return outputs


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
    runs: RunsOn | None = None,
) -> Detector:
    """Backbone by name with its adapters; None among them, or none at all, is the one that the embedded model brings.

    Which embedded model that is `profiles` and the other files tell, unless one is given. `runs`: an export of it,
    None for torch. Raises WeightsError, AdapterError, MemoryBankError, ExportError or ConfigError, each naming the
    file and the way out.
    """
    named = [folder for folder in adapters if folder is not None]
    if backbone != EMBEDDED.name or weights is not None:
        embedded = None
    elif embedded is None:
        embedded = embedded_model(named, memories, profiles)
    folders = [_own_adapter(backbone, embedded) if folder is None else folder for folder in adapters or (None,)]
    loaded = [load_adapter(folder) for folder in dict.fromkeys(folders)]
    engine: Engine
    if runs is None:
        file = find_weights(backbone, weights) if embedded is None else embedded_weights(embedded)
        model, digest = open_backbone(file, loaded[0].manifest.image_size)
        engine = TorchEngine(model, digest, loaded, pick_device(device), precision)
    else:
        chosen = torch.device("cpu") if runs.runtime == "openvino" and device == "auto" else pick_device(device)
        engine = open_export(runs, loaded, chosen, precision)
        if engine.config.name != backbone:
            raise ExportError(
                f"{runs.export}: is an export of backbone {engine.config.name}, asked is {backbone}; "
                f"run `fbclip export --backbone {backbone}`"
            )
    return Detector(engine, [load_memory(folder) for folder in dict.fromkeys(memories)])


def _own_adapter(backbone: str, embedded: EmbeddedModel | None) -> Path:
    if backbone != EMBEDDED.name:
        raise AdapterError(
            f"backbone {backbone} needs an adapter: name one as model.adapter (`calibrate import` makes it)"
        )
    return (embedded or EMBEDDED_MODELS[0]).adapter
