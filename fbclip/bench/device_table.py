"""`fbclip bench --device …`: whole predictions on one device, by model, precision, batch and memory, beside its bounds.

A whole prediction is what the agent asks for: pixels up, resized there if the device does that, backbone, heads,
distances from a memory, maps back. The bare backbone runs in the same precision, captured as the whole is. Decoding is
not in it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from fbclip.backbone.config import EMBEDDED, Precision
from fbclip.backbone.tower import Backbone
from fbclip.bench.benchmark import TimedMemory, open_parts, random_memory
from fbclip.bench.random_adapter import DIGEST, random_adapter
from fbclip.bench.roofline import Roofline, count_flops, measure_roofline
from fbclip.bench.stopwatch import Stopwatch
from fbclip.detector import Detector, Job
from fbclip.engines.processor import slow_precision
from fbclip.engines.torch_engine import TorchEngine
from fbclip.errors import InferenceError
from fbclip.images.framing import Framing
from fbclip.method.model import Head
from fbclip.runtime import prepare_process

PAPER_BACKBONE = "ViT-L-14-336"
BUDGET_S = 120.0
"""Of all rows together; with what is around them one command stays below three minutes."""
_ROW_S = 8.0
_WARM_UPS = 3
"""Where there are captures: the first call is plain, the second one captures."""
_FRAME = (1080, 1920, 3)


@dataclass(frozen=True)
class DeviceRow:
    """Medians in ms a batch. gflop: of the whole; bound_ms: less is not possible on this device; of_bound: its share of
    the time that was taken.

    repeats: how many were timed in the row's share of the time.
    """

    backbone: str
    size: int
    precision: Precision
    batch: int
    memory_tokens: int
    bare_ms: float
    whole_ms: float
    ratio: float
    images_per_s: float
    gflop: float
    bound_ms: float
    of_bound: float
    repeats: int

    def text(self) -> str:
        """One line for a terminal."""
        memory = f", memory {self.memory_tokens}" if self.memory_tokens else ""
        return (
            f"{self.backbone} at {self.size} px, {self.precision}, batch {self.batch}{memory}: {self.whole_ms:.1f} ms, "
            f"{self.images_per_s:.1f} images/s, {self.ratio:.2f} x bare, {self.of_bound:.0%} of the bound "
            f"({self.bound_ms:.2f} ms)"
        )


@dataclass(frozen=True)
class DeviceTable:
    """roofline: of the device, measured. notes: rows that were not timed, and why."""

    roofline: Roofline
    rows: tuple[DeviceRow, ...]
    notes: tuple[str, ...]

    def text(self) -> str:
        """Lines for a terminal."""
        peaks = ", ".join(f"{precision} {peak:.2f} TFLOPS" for precision, peak in self.roofline.tflops.items())
        lines = [f"measured peak: {peaks}, memory {self.roofline.gb_s:.0f} GB/s"]
        return "\n".join([*lines, *(row.text() for row in self.rows), *self.notes])


def device_precisions(device: torch.device) -> tuple[Precision, ...]:
    """What is worth timing: on a CPU not what it has no instructions for, and never float16."""
    if device.type == "cuda":
        return ("float32", "bfloat16", "float16")
    return ("float32",) if slow_precision("torch", "bfloat16") else ("float32", "bfloat16")


def table_models(backbone: Backbone, head: Head, device: torch.device, random: bool) -> list[tuple[Backbone, Head]]:
    """The one that was asked for; on a GPU, where it takes seconds, the paper's own beside the embedded one."""
    models = [(backbone, head)]
    if device.type == "cuda" and backbone.config.name == EMBEDDED.name and not random:
        models.append(open_parts(PAPER_BACKBONE, random=True))
    return models


@torch.inference_mode()
def device_table(
    models: Sequence[tuple[Backbone, Head]],
    device: torch.device,
    batches: Sequence[int],
    memories: Sequence[TimedMemory | None],
    repeats: int,
    precisions: Sequence[Precision],
    note: Callable[[str], None] = lambda _: None,
    monotonic: Callable[[], float] = time.monotonic,
) -> DeviceTable:
    """Row by row until BUDGET_S are spent; the rest is named. A row that does not fit the device is named too."""
    prepare_process()
    roofline = measure_roofline(device, precisions)
    until = monotonic() + BUDGET_S
    rows, notes = [], []
    for (backbone, head), precision, asked in product(models, precisions, memories):
        what = f"{backbone.config.name} {precision}" + (f" with a memory of {asked.tokens}" if asked else "")
        if monotonic() > until:
            notes.append(f"{what}: not timed, {BUDGET_S:.0f} s are over")
            continue
        note(f"timing {what}")
        try:
            timed = _Timed(backbone, head, device, precision, asked)
            for batch in batches:
                if monotonic() > until:
                    notes.append(f"{what}, batch {batch}: not timed, {BUDGET_S:.0f} s are over")
                    continue
                rows.append(timed.row(batch, repeats, roofline, min(_ROW_S, until - monotonic()), monotonic))
            halved = timed.detector.note
            notes += [f"{what}: {halved}"] if halved else []
        except InferenceError as error:
            notes.append(f"{what}: {error}")
    return DeviceTable(roofline, tuple(rows), tuple(notes))


class _Timed:
    """One model in one precision, as the agent would have it."""

    def __init__(
        self,
        backbone: Backbone,
        head: Head,
        device: torch.device,
        precision: Precision,
        asked: TimedMemory | None,
    ) -> None:
        adapter = random_adapter(backbone, head)
        # A lower precision changes the modules in place.
        self.engine = TorchEngine(copy.deepcopy(backbone), DIGEST, [adapter], device, precision)
        self.memories = [] if asked is None else [random_memory(backbone, DIGEST, asked)]
        self.detector = Detector(self.engine, self.memories)
        self.adapter, self.precision, self.tokens = adapter, precision, 0 if asked is None else asked.tokens

    def row(
        self, batch: int, repeats: int, roofline: Roofline, seconds: float, monotonic: Callable[[], float]
    ) -> DeviceRow:
        """At least one repeat, and no further one once `seconds` are over."""
        engine, device = self.engine, self.engine.device
        jobs = list(self._jobs(batch))
        images = engine.put([tile for job in jobs for tile in job.tiles])
        layers = self.adapter.manifest.fbclip.feature_layers
        flops = count_flops(lambda: self.detector.infer_terms(jobs))
        watch, done = Stopwatch(device), 0
        for _ in range(_WARM_UPS if engine.makes_tiles else 1):
            engine.see(images, layers)
            self.detector.infer_terms(jobs)
        until = monotonic() + seconds
        while not done or (done < repeats and monotonic() < until):
            watch.timed("bare", lambda: engine.see(images, layers))
            watch.timed("whole", lambda: self.detector.infer_terms(jobs))
            done += 1
        spent = watch.median()
        bare, whole = spent["bare"], spent["whole"]
        bound = roofline.bound_ms(flops, self._weight_bytes(), self.precision)
        return DeviceRow(
            backbone=engine.config.name,
            size=engine.size,
            precision=self.precision,
            batch=batch,
            memory_tokens=self.tokens,
            bare_ms=bare,
            whole_ms=whole,
            ratio=round(whole / bare, 3),
            images_per_s=round(1e3 * batch / whole, 2),
            gflop=round(flops / 1e9, 6),
            bound_ms=round(bound, 4),
            of_bound=round(bound / whole, 4),
            repeats=done,
        )

    def _jobs(self, batch: int) -> Iterator[Job]:
        rng = np.random.default_rng(0)
        memory = self.memories[0].id if self.memories else None
        for _ in range(batch):
            frame = rng.integers(0, 256, _FRAME, dtype=np.uint8)
            tiles = self.detector.frame(frame, Framing()).tiles
            yield Job(tiles, self.adapter.id, self.adapter.manifest.smoothing_sigma, memory=memory)

    def _weight_bytes(self) -> int:
        parts = (self.engine.backbone, self.adapter.head())
        return sum(value.numel() * value.element_size() for part in parts for value in part.parameters())
