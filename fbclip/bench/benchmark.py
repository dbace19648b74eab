"""`fbclip bench`: the bare backbone beside the whole forward, interleaved in one run, medians.

The two are timed in turn, so a machine that slows down slows both; the ratio holds where milliseconds do not.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from fbclip.backbone.catalog import backbone_config
from fbclip.backbone.config import BackboneConfig, Precision
from fbclip.backbone.tower import Backbone
from fbclip.backbone.weights import find_weights, open_backbone
from fbclip.bench.results import BatchResult, BenchResult
from fbclip.bench.stopwatch import Stopwatch
from fbclip.features.catalog import Features
from fbclip.features.imagenet import ImageNetFeatures, open_imagenet
from fbclip.images.decode import decode
from fbclip.images.preprocess import preprocess
from fbclip.memory.bank import Memory, MemoryManifest
from fbclip.memory.features import default_config, feature_width
from fbclip.memory.index import MemoryIndex, image_distance
from fbclip.memory.network import backbone_network, imagenet_network
from fbclip.method.config import FBCLIPConfig
from fbclip.method.defaults import method_for
from fbclip.method.maps import smooth_map
from fbclip.method.model import Head
from fbclip.runtime import matrix_dtype, set_precision


def open_parts(
    name: str, size: int | None = None, weights: Path | None = None, random: bool = False
) -> tuple[Backbone, Head]:
    """Backbone and an untuned head, for input side `size` or the backbone's usual one.

    Raises ConfigError or WeightsError. With `random` no weights are needed.
    """
    config = backbone_config(name)
    method = method_for(config, size)
    # An untuned head is the same one each time, so that what was timed of it earlier is of the same model.
    torch.manual_seed(0)
    if random:
        return random_parts(config, method)
    backbone, _ = open_backbone(find_weights(name, weights), method.image_size)
    return backbone, Head(config.width, method).requires_grad_(False).eval()


@dataclass(frozen=True)
class TimedMemory:
    """A memory of so many random tokens, of these features or of those that suit the backbone."""

    tokens: int
    features: Features | None = None


@dataclass(frozen=True, eq=False)
class _Model:
    """imagenet: None where neither the backbone nor the memory looks through these features."""

    backbone: Backbone
    head: Head
    index: MemoryIndex | None
    imagenet: ImageNetFeatures | None

    @property
    def layers(self) -> list[int]:
        """What is read of the backbone."""
        index = self.index
        own = index.config.layers if index is not None and index.config.features == "backbone" else ()
        return sorted({*self.head.config.layers, *own})


def random_parts(config: BackboneConfig, method: FBCLIPConfig) -> tuple[Backbone, Head]:
    """Real dimensions without weights: what is timed does not depend on the numbers."""
    torch.manual_seed(0)
    backbone = Backbone(config, method.image_size).open_features().requires_grad_(False).eval()
    return backbone, Head(config.width, method).requires_grad_(False).eval()


@torch.inference_mode()
def bench(
    backbone: Backbone,
    head: Head,
    batches: Sequence[int],
    device: torch.device,
    repeats: int,
    precision: Precision = "float32",
    asked: TimedMemory | None = None,
) -> BenchResult:
    """Time `repeats` rounds of every batch size, each after one that is thrown away.

    The whole forward also asks the memory, where one is asked for; raises WeightsError where its features are not
    installed.
    """
    backbone, head = backbone.to(device), head.to(device)
    set_precision(backbone, [head], precision)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    frame = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    model = _open(backbone, head, asked, device, precision)
    results = tuple(_bench_batch(model, batch, device, repeats, frame) for batch in batches)
    watch = Stopwatch(device)
    png = cv2.imencode(".png", frame)[1].tobytes()
    for _ in range(repeats):
        watch.timed("decode", lambda: decode(png))
        watch.timed("preprocess", lambda: preprocess(frame, backbone.image_size))
    first = results[0]
    return BenchResult(
        backbone=backbone.config.name,
        size=backbone.image_size,
        memory_tokens=0 if asked is None else asked.tokens,
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


def _open(
    backbone: Backbone, head: Head, asked: TimedMemory | None, device: torch.device, precision: Precision
) -> _Model:
    """With a memory of random tokens of the kind that `calibrate memory` makes, where one is asked for."""
    if asked is None:
        return _Model(backbone, head, None, backbone.features)
    memory, imagenet = random_memory(backbone, "", asked), backbone.features
    if memory.manifest.config.features == "imagenet":
        imagenet = imagenet or open_imagenet().compute_in(matrix_dtype(precision)).to(device)
    return _Model(backbone, head, MemoryIndex(memory, device), imagenet)


def random_memory(backbone: Backbone, sha256: str, asked: TimedMemory) -> Memory:
    """Random tokens of the kind that `calibrate memory` makes beside a backbone with this digest."""
    config = default_config(backbone.config, asked.features)
    network = backbone_network(backbone.config, sha256, backbone.image_size)
    if config.features == "imagenet":
        network = imagenet_network(backbone.image_size)
    manifest = MemoryManifest(
        backbone=network.name, backbone_sha256=network.sha256, image_size=network.image_size, config=config
    )
    width = feature_width(config, network)
    tokens = torch.nn.functional.normalize(torch.randn(asked.tokens, width), dim=-1)
    positions = torch.randint(network.grid, (asked.tokens, 2), dtype=torch.int16)
    return Memory(manifest, tokens.half(), positions)


def _bench_batch(model: _Model, batch: int, device: torch.device, repeats: int, frame: np.ndarray) -> BatchResult:
    backbone, head, index, imagenet, layers = model.backbone, model.head, model.index, model.imagenet, model.layers
    config, size = head.config, backbone.image_size
    prototypes = torch.nn.functional.normalize(torch.randn(2, backbone.config.embed_dim, device=device), dim=-1)
    images = torch.stack([preprocess(frame, size)] * batch)
    watch = Stopwatch(device)

    def forward() -> Tensor:
        moved = images.to(device)
        strides = {} if imagenet is None else watch.timed("features", lambda: imagenet(moved))
        found = watch.timed("backbone", lambda: backbone(moved, layers, strides))
        tokens = dict(zip(layers, found, strict=True))
        views = watch.timed_steps("views", head.views([tokens[layer] for layer in config.feature_layers]))
        output = watch.timed("views and head", lambda: head.score(views, prototypes, backbone.projection))
        if config.contrast.weight:
            output = watch.timed("contrast", lambda: head.add_contrast(output, tokens))
        score = config.score
        smooth = partial(smooth_map, size=size, sigma=score.smoothing_sigma, truncate=score.smoothing_truncate)
        maps = watch.timed("map", lambda: smooth(output.grid_margin))
        if index is not None:
            seen = tokens if index.config.features == "backbone" else strides
            maps = maps + watch.timed("memory", lambda: _ask_memory(index, seen, smooth))
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


def _ask_memory(index: MemoryIndex, tokens: Mapping[int, Tensor], smooth: Callable[[Tensor], Tensor]) -> Tensor:
    """What a memory adds to the forward: every patch's distance, the image's, and the map (B,S,S)."""
    grid = index.distances(tokens)
    image_distance(grid.flatten(1), index.config.farthest)
    return smooth(grid)


def _peak_rss_mb() -> float:
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / (1 << 10)
