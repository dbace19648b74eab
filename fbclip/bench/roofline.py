"""What a device can do at most, measured on it: products of large matrices and bytes moved; what a model asks of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from fbclip.backbone.config import Precision
from fbclip.bench.stopwatch import Stopwatch
from fbclip.runtime import matrix_dtype

_SIDE = {"cuda": 8192, "cpu": 1024}
_MIB = {"cuda": 1024, "cpu": 128}
_SECONDS = 1.5


@dataclass(frozen=True)
class Roofline:
    """tflops: precision -> 1e12 operations a second in products of square matrices; gb_s: 1e9 bytes read or written."""

    tflops: Mapping[Precision, float]
    gb_s: float

    def bound_ms(self, flops: float, bytes_read: float, precision: Precision) -> float:
        """No shorter time is possible here: all products at the peak, or all weights read once, whichever is longer."""
        return max(flops / (self.tflops[precision] * 1e12), bytes_read / (self.gb_s * 1e9)) * 1e3


@torch.inference_mode()
def measure_roofline(device: torch.device, precisions: Sequence[Precision]) -> Roofline:
    """The best of as many tries as fit a second or two each; nothing else should run on the device."""
    side = _SIDE.get(device.type, _SIDE["cpu"])
    tflops = {}
    for precision in precisions:
        one = torch.randn(side, side, device=device).to(matrix_dtype(precision))
        tflops[precision] = 2 * side**3 / _best_s(device, lambda one=one: one @ one) / 1e12  # type: ignore[misc]
    source = torch.zeros(_MIB.get(device.type, _MIB["cpu"]) << 20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    moved = 2 * source.numel() / _best_s(device, lambda: target.copy_(source)) / 1e9
    return Roofline({key: round(value, 6) for key, value in tflops.items()}, round(moved, 3))


def _best_s(device: torch.device, work: Callable[[], object]) -> float:
    watch, until = Stopwatch(device), time.monotonic() + _SECONDS
    while len(watch.samples["work"]) < 3 or time.monotonic() < until:
        watch.timed("work", work)
    # The first one chose its kernel.
    return min(watch.samples["work"][1:]) / 1e3


def count_flops(work: Callable[[], object]) -> int:
    """Operations in products of matrices, convolutions and attention of one call; two for each multiplication."""
    own = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
    with FlopCounterMode(display=False, custom_mapping=own) as counter:
        work()
    return int(counter.get_total_flops())


def _attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Shapes (B,heads,N,d), (B,heads,M,d) and (B,heads,M,e); torch itself counts this kernel of the CPU as nothing."""
    batch, heads, n, d = query
    return int(2 * batch * heads * n * key[2] * (d + value[3]))
