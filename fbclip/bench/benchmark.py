"""`fbclip bench`: the bare backbone beside the whole forward, interleaved in one run, medians.

The two are timed in turn, so a machine that slows down slows both; the ratio holds where milliseconds do not.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from fbclip.backbone.config import BackboneConfig, Precision
from fbclip.backbone.tower import Backbone
from fbclip.images.decode import decode
from fbclip.images.preprocess import preprocess
from fbclip.memory.bank import Memory, MemoryManifest, default_config, feature_width
from fbclip.memory.index import MemoryIndex, image_distance
from fbclip.memory.whitening import Whitening
from fbclip.method.config import FBCLIPConfig
from fbclip.method.maps import smooth_map
from fbclip.method.model import Head
from fbclip.precision import set_precision

T = TypeVar("T")


@dataclass(frozen=True)
class BatchResult:
    """Medians in milliseconds a batch; `images_per_s` from the whole forward, which holds every stage."""

    batch: int
    backbone_ms: float
    forward_ms: float
    ratio: float
    images_per_s: float
    stages: dict[str, float]


@dataclass(frozen=True)
class BenchResult:
    """The first batch size on top, all of them in `batches`; memory in MiB, `peak_rss_mb` is the process's.

    `decode` and `preprocess` among the stages are those of one image of 1920x1080 (a PNG).
    """

    backbone: str
    size: int
    memory_tokens: int
    device: str
    precision: str
    threads: int
    repeats: int
    backbone_ms: float
    forward_ms: float
    ratio: float
    peak_rss_mb: float
    peak_gpu_mb: float | None
    stages: dict[str, float]
    batches: tuple[BatchResult, ...]


def random_parts(config: BackboneConfig, method: FBCLIPConfig) -> tuple[Backbone, Head]:
    """Real dimensions without weights: what is timed does not depend on the numbers."""
    torch.manual_seed(0)
    backbone = Backbone(config, method.image_size).requires_grad_(False).eval()
    return backbone, Head(config.width, method).requires_grad_(False).eval()


class Stopwatch:
    """Milliseconds by name, one entry a call."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.samples: dict[str, list[float]] = defaultdict(list)

    def timed(self, name: str, work: Callable[[], T]) -> T:
        self._wait()
        start = time.perf_counter()
        out = work()
        self._wait()
        self.samples[name].append((time.perf_counter() - start) * 1e3)
        return out

    def timed_steps(self, name: str, steps: Iterable[T]) -> Iterator[T]:
        """Hand on what `steps` yields, as lazily as it does; the sum of its times is one entry."""
        iterator, total = iter(steps), 0.0
        while True:
            self._wait()
            start = time.perf_counter()
            item = next(iterator, None)
            self._wait()
            total += time.perf_counter() - start
            if item is None:
                break
            yield item
        self.samples[name].append(total * 1e3)

    def median(self) -> dict[str, float]:
        return {name: round(statistics.median(values), 3) for name, values in self.samples.items()}

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


@torch.inference_mode()
def bench(
    backbone: Backbone,
    head: Head,
    batches: Sequence[int],
    device: torch.device,
    repeats: int,
    precision: Precision = "float32",
    memory_tokens: int = 0,
) -> BenchResult:
    """Time `repeats` rounds of every batch size, each after one that is thrown away.

    With `memory_tokens` the whole forward also asks a memory of so many tokens.
    """
    backbone, head = backbone.to(device), head.to(device)
    set_precision(backbone, [head], precision)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    frame = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    lookup = _random_lookup(backbone, memory_tokens, device) if memory_tokens else None
    results = tuple(_bench_batch(backbone, head, lookup, batch, device, repeats, frame) for batch in batches)
    watch = Stopwatch(device)
    png = cv2.imencode(".png", frame)[1].tobytes()
    for _ in range(repeats):
        watch.timed("decode", lambda: decode(png))
        watch.timed("preprocess", lambda: preprocess(frame, backbone.image_size))
    first = results[0]
    return BenchResult(
        backbone=backbone.config.name,
        size=backbone.image_size,
        memory_tokens=memory_tokens,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        precision=precision,
        threads=torch.get_num_threads(),
        repeats=repeats,
        backbone_ms=first.backbone_ms,
        forward_ms=first.forward_ms,
        ratio=first.ratio,
        peak_rss_mb=round(_peak_rss_mb(), 1),
        peak_gpu_mb=round(torch.cuda.max_memory_allocated(device) / 2**20, 1) if device.type == "cuda" else None,
        stages=first.stages | watch.median(),
        batches=results,
    )


def _random_lookup(backbone: Backbone, count: int, device: torch.device) -> MemoryIndex:
    """A memory of `count` random tokens, of the kind that `calibrate memory` makes."""
    config = default_config(backbone.config)
    manifest = MemoryManifest(
        backbone=backbone.config.name, backbone_sha256="", image_size=backbone.image_size, config=config
    )
    width = feature_width(config, backbone.config)
    tokens = torch.nn.functional.normalize(torch.randn(count, width), dim=-1)
    positions = torch.randint(backbone.grid, (count, 2), dtype=torch.int16)
    whitening = Whitening(torch.zeros(width), torch.eye(width)) if config.metric == "mahalanobis" else None
    return MemoryIndex(Memory(manifest, tokens.half(), positions, whitening), device)


def _bench_batch(
    backbone: Backbone,
    head: Head,
    lookup: MemoryIndex | None,
    batch: int,
    device: torch.device,
    repeats: int,
    frame: np.ndarray,
) -> BatchResult:
    config, size = head.config, backbone.image_size
    prototypes = torch.nn.functional.normalize(torch.randn(2, backbone.config.embed_dim, device=device), dim=-1)
    images = torch.stack([preprocess(frame, size)] * batch)
    watch = Stopwatch(device)
    layers = sorted({*config.layers, *(lookup.config.layers if lookup else ())})

    def forward() -> Tensor:
        found = watch.timed("backbone", lambda: backbone(images.to(device), layers))
        tokens = dict(zip(layers, found, strict=True))
        views = watch.timed_steps("views", head.views([tokens[layer] for layer in config.feature_layers]))
        output = watch.timed("views and head", lambda: head.score(views, prototypes, backbone.projection))
        if config.contrast.weight:
            output = watch.timed("contrast", lambda: head.add_contrast(output, tokens))
        score = config.score
        smooth = partial(smooth_map, size=size, sigma=score.smoothing_sigma, truncate=score.smoothing_truncate)
        maps = watch.timed("map", lambda: smooth(output.grid_margin))
        if lookup is not None:
            maps = maps + watch.timed("memory", lambda: _recall(lookup, tokens, smooth))
        return maps.cpu()

    for turn in range(repeats + 1):
        watch.timed("bare", lambda: backbone(images.to(device), config.feature_layers))
        watch.timed("forward", forward)
        if turn == 0:
            watch.samples.clear()
    stages = watch.median()
    bare, whole, both = stages.pop("bare"), stages.pop("forward"), stages.pop("views and head")
    stages["head"] = round(both - stages["views"], 3)
    return BatchResult(batch, bare, whole, round(whole / bare, 3), round(1e3 * batch / whole, 2), stages)


def _recall(lookup: MemoryIndex, tokens: Mapping[int, Tensor], smooth: Callable[[Tensor], Tensor]) -> Tensor:
    """What a memory adds to an image: distances, the image's one, the map (B,S,S)."""
    grid = lookup.distances(tokens)
    image_distance(grid.flatten(1))
    return smooth(grid)


def _peak_rss_mb() -> float:
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / (1 << 10)
