"""All that only a CUDA device has: pinned memory, graphs, and a cache that can be emptied."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fbclip.engines.accelerator import Run
from fbclip.engines.faults import is_out_of_memory

log = logging.getLogger(__name__)
_WARM_UPS = 2
"""Before a capture, on a stream of its own: libraries choose their kernels and reserve memory then."""


class CudaAccelerator:
    """One NVIDIA GPU. Not thread-safe, like the engine that owns it."""

    makes_tiles = True

    def __init__(self, device: torch.device) -> None:
        self.device = device
        # A handle of the allocator: graphs whose results are copied at once may share their memory.
        self._pool: Any = None

    def upload(self, tensor: Tensor) -> Tensor:
        if tensor.device.type != "cpu":
            return tensor.to(self.device)
        # torch keeps the pinned copy until the device has read it, whatever becomes of this one.
        return tensor.contiguous().pin_memory().to(self.device, non_blocking=True)

    def download(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        pinned = []
        for tensor in tensors:
            there = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            pinned.append(there.copy_(tensor, non_blocking=True))
        torch.cuda.current_stream(self.device).synchronize()
        return pinned

    def capture(self, run: Run, given: Sequence[Tensor]) -> Run | None:
        with torch.cuda.device(self.device):
            own = [tensor.clone() for tensor in given]
            aside = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream(self.device))
            with torch.cuda.stream(aside):
                for _ in range(_WARM_UPS):
                    run(*own)
            torch.cuda.current_stream(self.device).wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            try:
                # Another thread may load an adapter meanwhile, which does not concern this graph.
                with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                    found = run(*own)
            except RuntimeError as error:
                if is_out_of_memory(error) or not self.answers():
                    raise
                log.warning("no CUDA graph of %d images, they are computed call by call: %s", len(own[0]), error)
                return None
        self._pool = graph.pool()

        def replay(*values: Tensor) -> tuple[Tensor, ...]:
            for place, value in zip(own, values, strict=True):
                place.copy_(value, non_blocking=True)
            graph.replay()
            # The next replay writes where these lie.
            return tuple(tensor.clone() for tensor in found)

        return replay

    def free(self) -> None:
        self._pool = None
        torch.cuda.empty_cache()

    def answers(self) -> bool:
        try:
            torch.ones(1, device=self.device).add_(1)
            torch.cuda.synchronize(self.device)
        except RuntimeError as error:
            return is_out_of_memory(error)
        return True
