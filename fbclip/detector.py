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
from fbclip.config import Precision
from fbclip.decision import Evidence
from fbclip.errors import AdapterError, ConfigError
from fbclip.framing import Framed, Framing, frame_picture
from fbclip.maps import smooth_map
from fbclip.model import Head
from fbclip.preprocess import Picture
from fbclip.profile import Running
from fbclip.tiling import Tiling, stitch
from fbclip.weights import EMBEDDED_DIR, find_weights, open_backbone

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
ROWS_AT_ONCE = 8
"""Tiles are spread over passes of at most so many rows, or of as many as there are pictures."""


@dataclass(frozen=True, eq=False)
class Job:
    """One picture of a batch: tiles (T,3,S,S) float32, T = 1 without `tiling`; its adapter; smoothing in map pixels."""

    tiles: Tensor
    adapter: str
    sigma: float
    tiling: Tiling | None = None


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
    ) -> None:
        self.device = device
        self.precision: Precision = precision
        self.backbone = backbone.to(device)
        self.backbone_sha256 = backbone_sha256
        self.size = backbone.image_size
        self._heads: dict[str, tuple[Head, Tensor]] = {}
        for adapter in adapters:
            self._check(adapter)
            self._heads[adapter.id] = (adapter.head().to(device), adapter.prototypes.to(device))
        if precision != "float32":
            self.backbone.compute_in(DTYPES[precision])
            for head, _ in self._heads.values():
                head.attention.product_dtype = DTYPES[precision]
        self._layers = sorted({n for head, _ in self._heads.values() for n in head.config.feature_layers})
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
        deepest = manifest.method.feature_layers[-1]
        if deepest > self.backbone.config.layers:
            raise AdapterError(
                f"adapter {adapter.id[:12]} reads block {deepest}, the backbone has {self.backbone.config.layers}"
            )

    def running(self, adapter: str) -> Running:
        """What a profile has to match."""
        name = self.backbone.config.name
        return Running(adapter, name, self.backbone_sha256, self.size, self.device.type, precision=self.precision)

    @property
    def adapters(self) -> tuple[str, ...]:
        """Ids in the order in which they were given."""
        return tuple(self._heads)

    @property
    def smoothing(self) -> Mapping[str, float]:
        """Adapter id -> the Gaussian sigma it was tuned with, in map pixels."""
        return {key: head.config.score.smoothing_sigma for key, (head, _) in self._heads.items()}

    def frame(self, image: Picture, framing: Framing) -> Framed:
        """RGB uint8 (H,W,3) -> this model's input; raises ImageError when it cannot be judged."""
        return frame_picture(image, framing, self.size, self.backbone.config.patch_size)

    def warm_up(self) -> None:
        """One throw-away picture a head, so that the first real frame is not the slow one."""
        blank = torch.zeros(1, 3, self.size, self.size)
        for adapter, sigma in self.smoothing.items():
            self.infer([Job(blank, adapter, sigma)])

    def infer(self, jobs: Sequence[Job]) -> list[Evidence]:
        """Evidence in the order of `jobs`. A row does not depend on its neighbours beyond float rounding."""
        rows = [(job, tile) for job in jobs for tile in job.tiles]
        step = max(len(jobs), ROWS_AT_ONCE)
        margins: list[Tensor] = []
        maps: list[Tensor] = []
        for start in range(0, len(rows), step):
            for margin, smoothed in self._pass(rows[start : start + step]):
                margins.append(margin)
                maps.append(smoothed)
        out, done = [], 0
        for job in jobs:
            own = slice(done, done + len(job.tiles))
            done = own.stop
            margin = torch.stack(margins[own]).amax()
            drawn = stitch(torch.stack(maps[own]), job.tiling).numpy()
            out.append(Evidence(margin.item(), torch.sigmoid(margin).item(), np.ascontiguousarray(drawn)))
        return out

    @torch.inference_mode()
    def _pass(self, rows: Sequence[tuple[Job, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        """(margin (), smoothed map (S,S)) a row, on the CPU."""
        images = torch.stack([tile for _, tile in rows]).to(self.device)
        tokens = dict(zip(self._layers, self.backbone(images, self._layers), strict=True))
        groups: dict[tuple[str, float], list[int]] = {}
        for index, (job, _) in enumerate(rows):
            groups.setdefault((job.adapter, job.sigma), []).append(index)
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for (adapter, sigma), places in groups.items():
            head, prototypes = self._heads[adapter]
            layers = [tokens[layer] for layer in head.config.feature_layers]
            chosen = layers if len(places) == len(rows) else [layer[places] for layer in layers]
            result = head(chosen, prototypes, self.backbone.projection)
            smoothed = smooth_map(result.grid_margin, self.size, sigma, head.config.score.smoothing_truncate).cpu()
            margins = result.image_margin.float().cpu()
            found |= {index: (margins[place], smoothed[place]) for place, index in enumerate(places)}
        return [found[index] for index in range(len(rows))]


def open_detector(
    backbone: str,
    weights: Path | None = None,
    adapters: Sequence[Path] = (),
    device: str = "auto",
    precision: Precision = "float32",
) -> Detector:
    """Backbone by name with its adapters; without any, the embedded backbone brings its own.

    Raises WeightsError, AdapterError or ConfigError, each naming the file and the way out.
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
    return Detector(model, digest, loaded, pick_device(device), precision)
