"""Which accelerator belongs to a device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fbclip.engines.accelerator import Accelerator, Run
from fbclip.engines.cuda import CudaAccelerator


class HostAccelerator:
    """The CPU, or another device that torch is asked for plainly: nothing is gained by any of this."""

    makes_tiles = False

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def upload(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device)

    def download(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return [tensor.cpu() for tensor in tensors]

    def capture(self, run: Run, given: Sequence[Tensor]) -> Run | None:  # noqa: ARG002
        return None

    def free(self) -> None:
        """Nothing is cached."""

    def answers(self) -> bool:
        return True


def accelerator_of(device: torch.device) -> Accelerator:
    """Of a CUDA device its own, of any other the plain one."""
    return CudaAccelerator(device) if device.type == "cuda" else HostAccelerator(device)
