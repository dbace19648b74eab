"""Pictures of several lines -> evidence: one shared backbone, adapters apply per row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fbclip.adapter import Adapter, load_adapter
from fbclip.backbone import Backbone
from fbclip.decision import Evidence
from fbclip.errors import AdapterError, ConfigError
from fbclip.maps import smooth_map
from fbclip.model import Head
from fbclip.profile import Running
from fbclip.weights import EMBEDDED_DIR, find_weights, open_backbone


@dataclass(frozen=True, eq=False)
class Job:
    """One row of a batch: preprocessed picture (3,S,S) float32, its adapter, smoothing in map pixels."""

    image: Tensor
    adapter: str
    sigma: float


def pick_device(wanted: str) -> torch.device:
    """`auto` takes the GPU when there is one; raises ConfigError when a named one is missing."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ConfigError(f"model.device {wanted}: no such GPU on this machine; use cpu or auto")
    return device


class Detector:
    """Frozen model on one device. Not thread-safe: one thread owns it."""

    def __init__(
        self, backbone: Backbone, backbone_sha256: str, adapters: Sequence[Adapter], device: torch.device
    ) -> None:
        self.device = device
        self.backbone = backbone.to(device)
        self.backbone_sha256 = backbone_sha256
        self.size = backbone.image_size
        self._heads: dict[str, tuple[Head, Tensor]] = {}
        layers = {a.manifest.method.feature_layers for a in adapters}
        if len(layers) != 1:
            raise AdapterError("adapters that share a backbone must use the same feature layers")
        self._layers = layers.pop()
        for adapter in adapters:
            self._check(adapter)
            self._heads[adapter.id] = (adapter.head().to(device), adapter.prototypes.to(device))
        # TF32 changes margins by more than a threshold can bear.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False

    def _check(self, adapter: Adapter) -> None:
        manifest = adapter.manifest
        if manifest.backbone_sha256 != self.backbone_sha256:
            raise AdapterError(
                f"adapter {adapter.id[:12]} was tuned on other weights of {manifest.backbone.name} than those loaded"
            )
        if manifest.method.image_size != self.size:
            raise AdapterError(
                f"adapter {adapter.id[:12]} is for {manifest.method.image_size} px, the backbone runs at {self.size} px"
            )

    def running(self, adapter: str) -> Running:
        """What a profile has to match."""
        name = self.backbone.config.name
        return Running(adapter, name, self.backbone_sha256, self.size, self.device.type)

    @property
    def smoothing(self) -> Mapping[str, float]:
        """Adapter id -> the Gaussian sigma it was tuned with, in map pixels."""
        return {key: head.config.score.smoothing_sigma for key, (head, _) in self._heads.items()}

    def warm_up(self) -> None:
        """One throw-away picture a head, so that the first real frame is not the slow one."""
        blank = torch.zeros(3, self.size, self.size)
        for adapter, sigma in self.smoothing.items():
            self.infer([Job(blank, adapter, sigma)])

    @torch.inference_mode()
    def infer(self, jobs: Sequence[Job]) -> list[Evidence]:
        """Evidence in the order of `jobs`. A row does not depend on its neighbours beyond float rounding."""
        if not jobs:
            return []
        images = torch.stack([job.image for job in jobs]).to(self.device)
        tokens = self.backbone(images, self._layers)
        out: list[Evidence | None] = [None] * len(jobs)
        groups: dict[tuple[str, float], list[int]] = {}
        for index, job in enumerate(jobs):
            groups.setdefault((job.adapter, job.sigma), []).append(index)
        for (adapter, sigma), rows in groups.items():
            head, prototypes = self._heads[adapter]
            chosen = tokens if len(rows) == len(jobs) else [layer[rows] for layer in tokens]
            result = head(chosen, prototypes, self.backbone.projection)
            maps = smooth_map(result.grid_margin, self.size, sigma, head.config.score.smoothing_truncate)
            margins, drawn = result.image_margin.float().cpu(), maps.cpu().numpy()
            scores = torch.sigmoid(margins)
            for place, index in enumerate(rows):
                out[index] = Evidence(margins[place].item(), scores[place].item(), np.ascontiguousarray(drawn[place]))
        return [e for e in out if e is not None]


def open_detector(
    backbone: str, weights: Path | None = None, adapters: Sequence[Path] = (), device: str = "auto"
) -> Detector:
    """Backbone by name with its adapters; without any, the embedded backbone brings its own.

    Raises WeightsError, AdapterError or ConfigError, each naming the file and the way out.
    """
    folders = list(adapters)
    if not folders:
        if backbone != "embedded":
            raise AdapterError(
                f"backbone {backbone} needs an adapter: name one as model.adapter (`calibrate import` makes it)"
            )
        folders = [EMBEDDED_DIR / "adapter"]
    loaded = [load_adapter(folder) for folder in folders]
    file = find_weights(backbone, weights)
    model, digest = open_backbone(file, loaded[0].manifest.method.image_size)
    return Detector(model, digest, loaded, pick_device(device))
