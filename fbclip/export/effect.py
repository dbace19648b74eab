"""How far a backbone in int8 moves the maps, the rest of the method being exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fbclip.backbone.config import Precision, RuntimeName
from fbclip.engines import graph_names as names
from fbclip.engines.graph_session import GraphSettings, open_graph
from fbclip.engines.processor import inference_threads
from fbclip.engines.torch_engine import TorchEngine
from fbclip.export.source import ExportSource

_CPU = torch.device("cpu")
_SPREAD_FLOOR = 1e-6


class Int8Effect:
    """Maps of float32 over the pictures that measure, kept; each candidate is compared with them."""

    def __init__(self, source: ExportSource, images: Sequence[Tensor], runtime: RuntimeName) -> None:
        self._exact = TorchEngine(source.backbone, source.sha256, source.adapters, _CPU)
        self._layers, self._images, self._runtime = source.layers, images, runtime
        self._maps = [self._judged(self._exact.see(image, source.layers).layers) for image in images]
        self._spread = torch.stack(self._maps).std(dim=(0, 2, 3, 4)).clamp_min(_SPREAD_FLOOR)

    def error(self, graph: Path, rest: Precision) -> float:
        """Root mean square of the differences, in parts of the maps' spread; of several adapters the largest.

        What is not in int8 computes in `rest`.
        """
        session = open_graph(self._runtime, graph, rest, GraphSettings(_CPU, inference_threads(None)))
        wanted = names.backbone_outputs(self._layers, strides=False)
        squares = []
        for image, exact in zip(self._images, self._maps, strict=True):
            found = session.run({names.IMAGES: image}, wanted)
            maps = self._judged({number: found[names.layer(number)] for number in self._layers})
            squares.append((maps - exact).square().mean(dim=(1, 2, 3)))
        return float((torch.stack(squares).mean(dim=0).sqrt() / self._spread).max())

    def _judged(self, layers: Mapping[int, Tensor]) -> Tensor:
        """(A,1,S,S): smoothed margins by each of A adapters."""
        methods = self._exact.methods
        return torch.stack([self._exact.judge(k, layers, m.score.smoothing_sigma).map for k, m in methods.items()])
