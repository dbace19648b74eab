"""Images of several lines -> predictions: one shared backbone; adapters and memories apply to rows of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fbclip.artefacts.adapter import Adapter, load_adapter
from fbclip.artefacts.compatibility import RunningModel, check_memory
from fbclip.artefacts.generation import embedded_model
from fbclip.backbone.config import EMBEDDED, BackboneConfig, Precision, RuntimeName
from fbclip.backbone.weights import EMBEDDED_MODELS, EmbeddedModel, embedded_weights, find_weights, open_backbone
from fbclip.batches.fitting import BatchLimit, in_fitting_batches
from fbclip.batches.job import Job
from fbclip.batches.rows import judge_rows
from fbclip.batches.whole import images_of
from fbclip.decision import Prediction
from fbclip.engines.engine import Engine
from fbclip.engines.exported_engine import RunsOn, open_export
from fbclip.engines.faults import named_faults
from fbclip.engines.graph_session import runs_on_cuda
from fbclip.engines.torch_engine import TorchEngine
from fbclip.errors import AdapterError, ExportError
from fbclip.features.catalog import Features
from fbclip.images.framing import Framed, Framing, frame_image
from fbclip.images.geometry import BoolMap, RgbImage
from fbclip.memory.bank import Memory, load_memory
from fbclip.memory.features import MemoryConfig
from fbclip.memory.fusion import Terms, fused_prediction
from fbclip.memory.index import MemoryIndex
from fbclip.memory.network import FeatureNetwork, backbone_network, imagenet_network
from fbclip.peers.config import FBCLIP
from fbclip.runtime import pick_device

ROWS_AT_ONCE = 8
"""Tiles are spread over passes of at most so many rows, or of as many as there are images."""
__all__ = ["Detector", "Job", "open_detector"]


class Detector:
    """Frozen model on one device. Not thread-safe: one thread owns it. `engine` is what computes."""

    def __init__(self, engine: Engine, memories: Sequence[Memory] = (), limit: BatchLimit | None = None) -> None:
        """Raises MemoryBankError, WeightsError or ExportError where a memory does not fit the engine.

        `limit`: of a detector on the same device, which has found out what fits.
        """
        self._engine = engine
        self._limit = BatchLimit() if limit is None else limit
        self._indexes: dict[str, MemoryIndex] = {}
        for memory in memories:
            check_memory(memory, self.network(memory.manifest.config.features))
            self._indexes[memory.id] = MemoryIndex(memory, engine.gives_on)
        wanted = [method.layers for method in engine.methods.values()]
        wanted += [index.config.layers for index in self._indexes.values() if index.config.features == "backbone"]
        self._layers = sorted({layer for layers in wanted for layer in layers})
        engine.check_layers(self._layers)

    def extended(self, adapters: Sequence[Adapter] = (), memories: Sequence[Memory] = ()) -> Detector:
        """Another detector, on the same backbone, that has these as well; this one stays as it is.

        Raises AdapterError, MemoryBankError, WeightsError or ExportError where one of them does not fit.
        """
        more = Detector(self._engine.with_adapters(adapters), memories, self._limit)
        more._indexes = self._indexes | more._indexes
        more._layers = sorted({*self._layers, *more._layers})
        return more

    def judging(self, adapter: Adapter) -> Detector:
        """Another detector, on the same backbone, that has this adapter alone and no memory; raises AdapterError."""
        return Detector(self._engine.with_adapters([adapter], alone=True), limit=self._limit)

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
    def note(self) -> str | None:
        """What is worth knowing of how it runs, in a line: batches that were halved. None where there is nothing."""
        return self._limit.note()

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
        """RGB uint8 (H,W,3) -> this model's input, or the pixels that the device makes it of; raises ImageError when it
        cannot be judged."""
        return frame_image(image, framing, self.size, self.backbone_config.patch_size, self._engine.makes_tiles)

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
        """One throw-away image a head and a memory, so that the first real frame is not the slow one.

        Twice where the device gains by it: what is captured for it is captured at the second time.
        """
        blank = torch.zeros(1, 3, self.size, self.size)
        for adapter, sigma in self.smoothing.items():
            for _ in range(2 if self._engine.makes_tiles else 1):
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
        rows = [(job, tile) for job in jobs for tile in job.tiles]
        outputs = in_fitting_batches(
            rows,
            max(len(jobs), ROWS_AT_ONCE),
            self._limit,
            lambda part: judge_rows(self._engine, self._indexes, self._layers, part),
            self._engine.free,
        )
        return images_of(jobs, outputs)


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
        place = pick_device(device)
        with named_faults(place, lambda: True):
            engine = TorchEngine(model, digest, loaded, place, precision)
    else:
        by_itself = device == "auto" and not runs_on_cuda(runs.runtime)
        chosen = torch.device("cpu") if by_itself else pick_device(device)
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
