"""A device that is the CPU underneath: it makes tiles itself, is told when to fail, and counts what it captures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fbclip.detector import Detector
from fbclip.engines.accelerator import Run
from fbclip.engines.torch_engine import TorchEngine
from fbclip.memory.bank import Memory
from tests.factories.models import tiny_adapter, tiny_backbone

CPU = torch.device("cpu")


class FaultyAccelerator:
    """`holds`: more images at once are out of memory. `alive`: does it answer; `failing` is raised by every upload."""

    makes_tiles = True
    device = CPU

    def __init__(self, holds: int = 1000) -> None:
        self.holds = holds
        self.alive = True
        self.failing: Exception | None = None
        self.uploads: list[Tensor] = []
        self.captured: list[int] = []
        self.freed = 0

    def upload(self, tensor: Tensor) -> Tensor:
        if self.failing is not None:
            raise self.failing
        self.uploads.append(tensor)
        return tensor

    def download(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        rows = max(len(tensor) for tensor in tensors)
        if rows > self.holds:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {rows} images")
        return [tensor.clone() for tensor in tensors]

    def capture(self, run: Run, given: Sequence[Tensor]) -> Run | None:
        """As a graph does it: the same places are written by every call, so what is handed out are copies."""
        self.captured.append(len(given[0]))
        own = [tensor.clone() for tensor in given]

        def replay(*values: Tensor) -> tuple[Tensor, ...]:
            for place, value in zip(own, values, strict=True):
                place.copy_(value)
            return tuple(tensor.clone() for tensor in run(*own))

        return replay

    def free(self) -> None:
        self.freed += 1

    def answers(self) -> bool:
        return self.alive


def tiny_detector_on(accelerator: FaultyAccelerator, memories: Sequence[Memory] = ()) -> Detector:
    """The tiny detector of `tests/factories/models.py` on such a device."""
    backbone, digest = tiny_backbone()
    engine = TorchEngine(backbone, digest, [tiny_adapter(2), tiny_adapter(3)], CPU, accelerator=accelerator)
    return Detector(engine, memories)
