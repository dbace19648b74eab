"""`fbclip bench --runtime all`: one model in every runtime and precision of this machine, row by row, medians.

What is timed is a whole prediction, as the agent asks for it. Each row takes turns with float32 in torch, so a machine
that slows down slows both; ratios hold where milliseconds do not. Each row has so many seconds, and is kept when it is
done, so that a run that was cut short goes on where it stopped.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fbclip import __version__
from fbclip.artefacts.adapter import Adapter
from fbclip.backbone.config import Precision, RuntimeName
from fbclip.backbone.tower import Backbone
from fbclip.bench.benchmark import TimedMemory, random_memory
from fbclip.bench.finished_rows import FinishedRows, TimedRow
from fbclip.bench.random_adapter import DIGEST, random_adapter
from fbclip.bench.timed_exports import BASE, ROWS, Computes, TimedExports
from fbclip.detector import Detector, Job
from fbclip.engines.processor import inference_threads, processor_name
from fbclip.errors import ConfigError, ExportError
from fbclip.export.source import ExportSource
from fbclip.memory.bank import Memory
from fbclip.method.model import Head

ROW_SECONDS = 60.0


@dataclass(frozen=True)
class RuntimeRow:
    """Median of a whole prediction of the batch in ms; `speed` is how many times as fast as float32 in torch, which
    took turns with it. `repeats`: for how many of those asked for its seconds sufficed."""

    runtime: RuntimeName
    precision: Precision
    ms: float
    images_per_s: float
    speed: float
    repeats: int = 0


@dataclass(frozen=True)
class RuntimeTable:
    """whole_to_bare: of float32 in torch, prediction to bare backbone. notes: what could not be timed, or is slow."""

    processor: str
    threads: int
    backbone: str
    size: int
    batch: int
    repeats: int
    memory_tokens: int
    bare_ms: float
    whole_to_bare: float
    rows: tuple[RuntimeRow, ...]
    notes: tuple[str, ...]

    def text(self) -> str:
        """Lines for a terminal."""
        memory = f", a memory of {self.memory_tokens} tokens" if self.memory_tokens else ""
        lines = [
            f"{self.backbone} at {self.size} px, batch {self.batch}{memory}, {self.threads} threads, {self.processor}",
            f"torch float32: {self.whole_to_bare:.2f} x its bare backbone ({self.bare_ms:.1f} ms)",
        ]
        for row in self.rows:
            short = "" if row.repeats >= self.repeats else f"  ({row.repeats} of {self.repeats} repeats)"
            lines.append(
                f"{row.runtime:12} {row.precision:9} {row.ms:9.1f} ms  {row.images_per_s:7.2f} images/s  "
                f"{row.speed:.2f} x as fast{short}"
            )
        return "\n".join([*lines, *self.notes])


def compare_runtimes(
    backbone: Backbone,
    head: Head,
    batch: int,
    repeats: int,
    asked: TimedMemory | None = None,
    note: Callable[[str], None] = lambda _: None,
    keep: Path | None = None,
    seconds: float = ROW_SECONDS,
) -> RuntimeTable:
    """Every runtime that is installed: up to `repeats` turns a row within `seconds`, at least one.

    `keep`: a folder in which rows and exports stay; rows that are there already are not timed again. Raises ConfigError
    where they are of another setting.
    """
    adapter, threads, notes = random_adapter(backbone, head), inference_threads(None), []
    source = ExportSource(backbone, DIGEST, [adapter], sorted({*head.config.layers, *_memory_layers(backbone, asked)}))
    torch.set_num_threads(threads)
    tokens = 0 if asked is None else asked.tokens
    setting = {
        "version": __version__,
        "processor": processor_name(),
        "threads": threads,
        "adapter": adapter.id,
        "batch": batch,
        "memory": [tokens, None if asked is None else asked.features],
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) if keep is None else keep
        folder.mkdir(parents=True, exist_ok=True)
        done = FinishedRows(folder, setting)
        timed = _Timed(source, adapter, batch, asked, TimedExports(source, folder, threads))
        for wanted in ROWS:
            if done.get(*wanted) is not None:
                note(f"{wanted}: timed already")
                continue
            try:
                done.add(timed.row(wanted, repeats, seconds, note))
            except (ConfigError, ExportError) as error:
                notes.append(f"{wanted} could not be timed: {error}")
        found = [(wanted, row) for wanted in ROWS if (row := done.get(*wanted)) is not None]
    rows = tuple(_row(wanted, row, batch) for wanted, row in found)
    base = found[0][1]
    bare = base.bare_ms or base.ms
    return RuntimeTable(
        processor=processor_name(),
        threads=threads,
        backbone=backbone.config.name,
        size=backbone.image_size,
        batch=batch,
        repeats=repeats,
        memory_tokens=tokens,
        bare_ms=round(bare, 3),
        whole_to_bare=round(base.ms / bare, 3),
        rows=rows,
        notes=(*notes, *slower_than_float32(rows)),
    )


def _row(wanted: Computes, row: TimedRow, batch: int) -> RuntimeRow:
    return RuntimeRow(
        *wanted, round(row.ms, 3), round(1e3 * batch / row.ms, 2), round(row.base_ms / row.ms, 3), row.repeats
    )


def slower_than_float32(rows: Sequence[RuntimeRow]) -> list[str]:
    """A line for each lower precision that was slower here than float32 in the same runtime."""
    exact = {row.runtime: row.speed for row in rows if row.precision == "float32"}
    return [
        f"warning: {row.runtime} {row.precision} is slower than its float32 on this processor; use float32"
        for row in rows
        if row.precision != "float32" and row.speed < exact.get(row.runtime, row.speed)
    ]


class _Timed:
    """float32 in torch is there all the time, every other engine only while its row is timed."""

    def __init__(
        self, source: ExportSource, adapter: Adapter, batch: int, asked: TimedMemory | None, exports: TimedExports
    ) -> None:
        size = source.backbone.image_size
        self._exports, self._backbone, self._layers = exports, source.backbone, adapter.manifest.fbclip.feature_layers
        self._memories: list[Memory] = [] if asked is None else [random_memory(source.backbone, DIGEST, asked)]
        memory = self._memories[0].id if self._memories else None
        images = torch.randn(batch, 3, size, size)
        self._images: Tensor = images
        self._jobs = [Job(image[None], adapter.id, adapter.manifest.smoothing_sigma, memory=memory) for image in images]
        self._base = Detector(exports.open(BASE), self._memories)

    def row(self, wanted: Computes, repeats: int, seconds: float, note: Callable[[str], None]) -> TimedRow:
        """Turns of the row and of float32 in torch, whose own row takes turns with the bare backbone."""
        note(f"opening {wanted}")
        if wanted == BASE:
            turns = take_turns([self._whole(self._base), self._bare], repeats, seconds)
            whole, bare = turns.medians_ms
            return TimedRow(**wanted._asdict(), ms=whole, base_ms=whole, bare_ms=bare, repeats=turns.count)
        other = Detector(self._exports.open(wanted), self._memories)
        note(f"timing {wanted}")
        turns = take_turns([self._whole(other), self._whole(self._base)], repeats, seconds)
        own, base = turns.medians_ms
        return TimedRow(**wanted._asdict(), ms=own, base_ms=base, repeats=turns.count)

    def _whole(self, detector: Detector) -> Callable[[], object]:
        return lambda: detector.infer_terms(self._jobs)

    def _bare(self) -> object:
        with torch.inference_mode():
            return self._backbone(self._images, self._layers)


@dataclass(frozen=True)
class TimedTurns:
    """Of each work its median, and how many turns there were."""

    medians_ms: tuple[float, ...]
    count: int


def take_turns(
    works: Sequence[Callable[[], object]],
    repeats: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> TimedTurns:
    """One turn is thrown away, and at least one is counted; none begins after `seconds`."""
    times: list[list[float]] = [[] for _ in works]
    first = clock()
    for turn in range(repeats + 1):
        for work, spent in zip(works, times, strict=True):
            start = clock()
            work()
            if turn:
                spent.append((clock() - start) * 1e3)
        if turn and clock() - first > seconds:
            break
    return TimedTurns(tuple(statistics.median(spent) for spent in times), len(times[0]))


def _memory_layers(backbone: Backbone, asked: TimedMemory | None) -> tuple[int, ...]:
    if asked is None:
        return ()
    config = random_memory(backbone, DIGEST, TimedMemory(1, asked.features)).manifest.config
    return config.layers if config.features == "backbone" else ()
