"""What a device needs beside torch's own calls: how tensors get there and back, how repeated work is cheap there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

Run = Callable[..., tuple[Tensor, ...]]
"""Tensors in, tensors out, the same work each time for the same shapes."""


class Accelerator(Protocol):
    """One device. `makes_tiles`: pixels go there as uint8, and it resizes and normalises them itself."""

    @property
    def device(self) -> torch.device: ...
    @property
    def makes_tiles(self) -> bool: ...

    def upload(self, tensor: Tensor) -> Tensor:
        """A tensor of the host, or one that is there already -> on the device; does not wait for it."""

    def download(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """To the host, all at once; waits until they are there."""

    def capture(self, run: Run, given: Sequence[Tensor]) -> Run | None:
        """`run` on tensors of these shapes as one launch, whose results are the caller's; None where it cannot be."""

    def free(self) -> None:
        """Give back what is cached."""

    def answers(self) -> bool:
        """Does the device still compute?"""
