"""`fbclip bench`: the bare backbone beside the whole forward, interleaved in one run, medians.

The two are timed in turn, so a machine that slows down slows both; the ratio holds where milliseconds do not.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from fbclip.backbone import Backbone
from fbclip.config import BackboneConfig, FBCLIPConfig
from fbclip.maps import smooth_map
from fbclip.model import Head
from fbclip.preprocess import preprocess

T = TypeVar("T")


@dataclass(frozen=True)
class BenchResult:
    """Milliseconds a batch, medians over `repeats`; `peak_rss_mb` is the process's, in MiB."""

    backbone: str
    size: int
    batch: int
    device: str
    threads: int
    repeats: int
    backbone_ms: float
    forward_ms: float
    ratio: float
    peak_rss_mb: float
    stages: dict[str, float]


def random_parts(config: BackboneConfig, method: FBCLIPConfig) -> tuple[Backbone, Head]:
    """Real dimensions without weights: what is timed does not depend on the numbers."""
    torch.manual_seed(0)
    backbone = Backbone(config, method.image_size).requires_grad_(False).eval()
    return backbone, Head(config.width, method).requires_grad_(False).eval()


@torch.inference_mode()
def bench(backbone: Backbone, head: Head, batch: int, device: torch.device, repeats: int) -> BenchResult:
    """Time `repeats` rounds after one that is thrown away."""
    backbone, head = backbone.to(device), head.to(device)
    config, size = head.config, backbone.image_size
    prototypes = torch.nn.functional.normalize(torch.randn(2, backbone.config.embed_dim, device=device), dim=-1)
    frame = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    images = torch.stack([preprocess(frame, size)] * batch)
    samples: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], T]) -> T:
        _wait(device)
        start = time.perf_counter()
        out = work()
        _wait(device)
        samples.setdefault(name, []).append((time.perf_counter() - start) * 1e3)
        return out

    def forward() -> Tensor:
        tokens = timed("backbone", lambda: backbone(images.to(device), config.feature_layers))
        views = timed("views", lambda: head.views(tokens))
        margins = timed("head", lambda: head.score(views, prototypes, backbone.projection).grid_margin)
        score = config.score
        maps = timed("map", lambda: smooth_map(margins, size, score.smoothing_sigma, score.smoothing_truncate))
        return maps.cpu()

    for turn in range(repeats + 1):
        timed("bare", lambda: backbone(images.to(device), config.feature_layers))
        timed("forward", forward)
        timed("preprocess", lambda: preprocess(frame, size))
        if turn == 0:
            samples.clear()
    median = {name: round(statistics.median(values), 3) for name, values in samples.items()}
    bare, whole = median.pop("bare"), median.pop("forward")
    return BenchResult(
        backbone=backbone.config.name,
        size=size,
        batch=batch,
        device=str(device),
        threads=torch.get_num_threads(),
        repeats=repeats,
        backbone_ms=bare,
        forward_ms=whole,
        ratio=round(whole / bare, 3),
        peak_rss_mb=round(_peak_rss_mb(), 1),
        stages=median,
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_rss_mb() -> float:
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / (1 << 10)
