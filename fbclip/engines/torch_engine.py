"""The engine that is always there: torch, on a CPU or a GPU, in float32, bfloat16 or float16."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor

from fbclip.artefacts.adapter import Adapter
from fbclip.artefacts.compatibility import check_adapter
from fbclip.artefacts.peers import open_peer, with_references
from fbclip.backbone.config import BackboneConfig, Precision
from fbclip.backbone.tower import Backbone
from fbclip.engines.accelerator import Accelerator, Run
from fbclip.engines.captured import CapturedCalls
from fbclip.engines.devices import accelerator_of
from fbclip.engines.engine import Judgement, Seen
from fbclip.engines.faults import named_faults
from fbclip.features.catalog import IMAGENET
from fbclip.features.imagenet import ImageNetFeatures, open_imagenet
from fbclip.images.raw_tiles import Tile, put_tiles
from fbclip.method.config import FBCLIPConfig, ScoreConfig
from fbclip.method.maps import combined_matrix, smooth_map, smoothed_with
from fbclip.method.model import Head
from fbclip.peers.output import Peer
from fbclip.runtime import matrix_dtype, prepare_process, set_precision


class TorchEngine:
    """Frozen backbone and heads on one device.

    In a lower `precision` only the matrix products of the blocks and of FB-Attention are lower; foreground masks,
    views, background subtraction and margins are float32 always. Work on batches of one size is captured where the
    device gains by it; see fbclip/engines/captured.py.
    """

    runtime: Literal["torch"] = "torch"
    export: None = None

    def __init__(
        self,
        backbone: Backbone,
        backbone_sha256: str,
        adapters: Sequence[Adapter],
        device: torch.device,
        precision: Precision = "float32",
        accelerator: Accelerator | None = None,
    ) -> None:
        self.device = device
        self._accelerator = accelerator_of(device) if accelerator is None else accelerator
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
        prepare_process()
        self._captured: dict[tuple[object, ...], CapturedCalls] = {}
        self._matrices: dict[tuple[str, float], Tensor] = {}

    @property
    def gives_on(self) -> torch.device:
        return self.device

    @property
    def makes_tiles(self) -> bool:
        return self._accelerator.makes_tiles

    @property
    def config(self) -> BackboneConfig:
        return self.backbone.config

    @property
    def adapters(self) -> Mapping[str, Adapter]:
        return self._adapters

    @property
    def methods(self) -> Mapping[str, FBCLIPConfig]:
        return {key: head.config for key, (head, _) in self._heads.items()}

    def with_adapters(self, adapters: Sequence[Adapter], alone: bool = False) -> TorchEngine:
        more = TorchEngine(
            self.backbone, self.backbone_sha256, adapters, self.device, self.precision, self._accelerator
        )
        more._imagenet = more._imagenet or self._imagenet
        if alone:
            return more
        more._heads = self._heads | more._heads
        more._peers = self._peers | more._peers
        more._adapters = self._adapters | more._adapters
        return more

    def remembering(self, adapter: str, images: Tensor, digests: Sequence[str]) -> Adapter:
        return with_references(self._adapters[adapter], self.backbone, images.to(self.device), digests)

    def open_features(self) -> None:
        if self._imagenet is None:
            self._imagenet = open_imagenet().compute_in(matrix_dtype(self.precision)).to(self.device)
            # What was captured did not look through them.
            self._captured.clear()

    def check_layers(self, layers: Sequence[int]) -> None:
        """Whatever the backbone has; adapters and memories are checked against it."""

    def faults(self) -> AbstractContextManager[None]:
        return named_faults(self.device, self._accelerator.answers)

    def put(self, tiles: Sequence[Tile]) -> Tensor:
        return put_tiles(tiles, self._accelerator.upload)

    def fetch(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return self._accelerator.download(tensors)

    def free(self) -> None:
        self._captured.clear()
        self._accelerator.free()

    @torch.inference_mode()
    def see(self, images: Tensor, layers: Sequence[int]) -> Seen:
        wanted = tuple(layers)
        found = self._call(("see", wanted), lambda batch: self._see(batch, wanted), images.to(self.device))
        strides = {} if self._imagenet is None else dict(zip(IMAGENET.widths, found[len(wanted) :], strict=True))
        return Seen(dict(zip(wanted, found[: len(wanted)], strict=True)), strides)

    def _see(self, images: Tensor, layers: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Layers, then strides."""
        strides = {} if self._imagenet is None else self._imagenet(images)
        found = self.backbone(images, layers, strides) if layers else []
        return (*found, *(strides[pixels] for pixels in IMAGENET.widths if strides))

    @torch.inference_mode()
    def judge(self, adapter: str, layers: Mapping[int, Tensor], sigma: float) -> Judgement:
        head, _ = self._heads[adapter]
        numbers = head.config.layers
        found = self._call(
            ("judge", adapter, sigma),
            lambda *tokens: self._judge(adapter, dict(zip(numbers, tokens, strict=True)), sigma),
            *(layers[number] for number in numbers),
        )
        return Judgement(*found)

    def _judge(self, adapter: str, layers: Mapping[int, Tensor], sigma: float) -> tuple[Tensor, Tensor, Tensor]:
        """Margins, maps, and the foreground masks of all layers side by side."""
        head, prototypes = self._heads[adapter]
        masks: list[Tensor] = []

        def keep(name: str, value: Tensor) -> None:
            if name.endswith("foreground_mask"):
                masks.append(value)

        out = head.predict(layers, prototypes, self.backbone.projection, keep)
        maps = smoothed_with(self._smoothing(adapter, sigma), out.grid_margin)
        foreground = torch.cat(masks, dim=1) if masks else out.image_margin.new_empty((len(maps), 0))
        return out.image_margin, maps, foreground

    def _smoothing(self, adapter: str, sigma: float) -> Tensor:
        """Kept as long as the engine: a capture reads it where it lies, whatever the cache lets go of meanwhile."""
        key = (adapter, sigma)
        if key not in self._matrices:
            truncate = self._heads[adapter][0].config.score.smoothing_truncate
            self._matrices[key] = combined_matrix(self.backbone.grid, self.size, sigma, truncate, str(self.device))
        return self._matrices[key]

    def _call(self, key: tuple[object, ...], run: Run, *given: Tensor) -> tuple[Tensor, ...]:
        if key not in self._captured:
            self._captured[key] = CapturedCalls(run, self._accelerator)
        return self._captured[key](*given)

    @torch.inference_mode()
    def judge_images(self, adapter: str, images: Tensor, sigma: float) -> Judgement:
        out = self._peers[adapter](images.to(self.device))
        maps = smooth_map(out.grid_margin, self.size, sigma, ScoreConfig().smoothing_truncate)
        return Judgement(out.image_margin, maps, out.image_margin.new_empty((len(maps), 0)))
