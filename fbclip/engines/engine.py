"""The one interface between the detector and whatever computes: torch, ONNX Runtime or OpenVINO.

Letters: B images, N = 1 + L tokens (CLS first), C backbone width, h patches a side, S input side in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fbclip.artefacts.adapter import Adapter
from fbclip.backbone.config import BackboneConfig, Precision, RuntimeName
from fbclip.images.raw_tiles import Tile
from fbclip.method.config import FBCLIPConfig


@dataclass(frozen=True, eq=False)
class Seen:
    """What frozen networks see in images: layer -> raw tokens as `Backbone.forward` gives them, float32; strides of the
    imagenet features, empty where nothing looks through them."""

    layers: Mapping[int, Tensor]
    strides: Mapping[int, Tensor]


@dataclass(frozen=True, eq=False)
class Judgement:
    """What one adapter says of images: margin (B,) of CLS; map (B,S,S) smoothed margins; foreground (B,K·L) masks of
    all layers, (B,0) where the method has none. float32."""

    margin: Tensor
    map: Tensor
    foreground: Tensor


class Engine(Protocol):
    """Frozen networks and adapters. Not thread-safe: one thread owns it. What fails in it is an InferenceError.

    `export` is the id of the export that runs, None for torch; `adapters`: by id, in the order in which they were
    given; `methods`: id -> what an adapter of FB-CLIP was tuned with, without those of the compared methods.
    `gives_on`: where the tensors lie that it gives. `makes_tiles`: pixels are best given to it as they are, since its
    device resizes and normalises them.
    """

    @property
    def runtime(self) -> RuntimeName: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def export(self) -> str | None: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def gives_on(self) -> torch.device: ...
    @property
    def makes_tiles(self) -> bool: ...
    @property
    def config(self) -> BackboneConfig: ...
    @property
    def backbone_sha256(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def adapters(self) -> Mapping[str, Adapter]: ...
    @property
    def methods(self) -> Mapping[str, FBCLIPConfig]: ...

    def faults(self) -> AbstractContextManager[None]:
        """Around all that is computed on its device: memory that ran out and a lost device become errors of ours."""

    def put(self, tiles: Sequence[Tile]) -> Tensor:
        """Tiles -> network input (B,3,S,S), where it is computed."""

    def fetch(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """To the CPU; one wait for all of them."""

    def free(self) -> None:
        """Give back memory of the device that is not needed for the next batch."""

    def with_adapters(self, adapters: Sequence[Adapter], alone: bool = False) -> Engine:
        """Another engine on the same networks that has these as well, or `alone`; raises AdapterError."""

    def remembering(self, adapter: str, images: Tensor, digests: Sequence[str]) -> Adapter:
        """The few-shot form of a compared method's adapter; raises ConfigError where there is none."""

    def open_features(self) -> None:
        """From here on `see` gives strides as well; raises WeightsError where these features are not installed."""

    def check_layers(self, layers: Sequence[int]) -> None:
        """Raises ExportError where `see` cannot give one of them."""

    def see(self, images: Tensor, layers: Sequence[int]) -> Seen:
        """Normalised images (B,3,S,S) on any device -> at least these rising layers, none for none."""

    def judge(self, adapter: str, layers: Mapping[int, Tensor], sigma: float) -> Judgement:
        """What `see` gave -> margins, their map smoothed with `sigma`."""

    def judge_images(self, adapter: str, images: Tensor, sigma: float) -> Judgement:
        """The same by a compared method, which looks at images (B,3,S,S) in its own way."""
