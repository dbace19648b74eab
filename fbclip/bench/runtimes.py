"""`fbclip bench --runtime all`: one model in every runtime and precision of this machine, in turn, medians.

What is timed is a whole prediction, as the agent asks for it. Each round runs every row once, so a machine that slows
down slows all of them; ratios hold where milliseconds do not.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fbclip.artefacts.adapter import Adapter, AdapterManifest
from fbclip.backbone.config import ExportFormat, Precision, RuntimeName
from fbclip.backbone.tower import Backbone
from fbclip.bench.benchmark import TimedMemory, random_memory
from fbclip.detector import Detector, Job
from fbclip.engines.export_manifest import ExportManifest, Quantised
from fbclip.engines.exported_engine import ExportedEngine
from fbclip.engines.graph_session import GraphSettings
from fbclip.engines.processor import inference_threads, processor_name
from fbclip.engines.torch_engine import TorchEngine
from fbclip.errors import ConfigError, ExportError
from fbclip.export.graphs import BackboneGraph, examples
from fbclip.export.run import quantiser, write_export
from fbclip.export.source import ExportSource
from fbclip.files import file_sha256
from fbclip.method.model import Head

_CPU = torch.device("cpu")
_DIGEST = "0" * 64
_CALIBRATED_ON = 4
"""Random pictures: what int8 takes does not depend on them, what it is worth does, and is not measured here."""


@dataclass(frozen=True)
class RuntimeRow:
    """Median of a whole prediction of the batch in ms; `speed` is how many times as fast as float32 in torch."""

    runtime: RuntimeName
    precision: Precision
    ms: float
    images_per_s: float
    speed: float


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
            lines.append(
                f"{row.runtime:12} {row.precision:9} {row.ms:9.1f} ms  {row.images_per_s:7.2f} images/s  "
                f"{row.speed:.2f} x as fast"
            )
        return "\n".join([*lines, *self.notes])


def compare_runtimes(
    backbone: Backbone,
    head: Head,
    batch: int,
    repeats: int,
    asked: TimedMemory | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> RuntimeTable:
    """Every runtime that is installed; `repeats` rounds after one that is thrown away."""
    adapter, notes = _adapter(backbone, head), []
    source = ExportSource(backbone, _DIGEST, [adapter], sorted({*head.config.layers, *_memory_layers(backbone, asked)}))
    threads = inference_threads(None)
    torch.set_num_threads(threads)
    memories = [] if asked is None else [random_memory(backbone, _DIGEST, asked)]
    images = torch.randn(batch, 3, backbone.image_size, backbone.image_size)
    with tempfile.TemporaryDirectory() as folder:
        detectors = {}
        for (runtime, precision), open_engine in _openers(source, Path(folder), threads):
            note(f"opening {runtime} {precision}")
            try:
                detectors[runtime, precision] = Detector(open_engine(), memories)
            except (ConfigError, ExportError) as error:
                notes.append(f"{runtime} {precision} could not be timed: {error}")
        times, bare = _times(detectors, backbone, images, adapter, None if asked is None else memories[0].id, repeats)
    base = times["torch", "float32"]
    rows = tuple(
        RuntimeRow(runtime, precision, round(ms, 3), round(1e3 * batch / ms, 2), round(base / ms, 3))
        for (runtime, precision), ms in times.items()
    )
    return RuntimeTable(
        processor=processor_name(),
        threads=threads,
        backbone=backbone.config.name,
        size=backbone.image_size,
        batch=batch,
        repeats=repeats,
        memory_tokens=0 if asked is None else asked.tokens,
        bare_ms=round(bare, 3),
        whole_to_bare=round(base / bare, 3),
        rows=rows,
        notes=(*notes, *slower_than_float32(rows)),
    )


def slower_than_float32(rows: tuple[RuntimeRow, ...]) -> list[str]:
    """A line for each lower precision that was slower here than float32 in the same runtime."""
    exact = {row.runtime: row.ms for row in rows if row.precision == "float32"}
    return [
        f"warning: {row.runtime} {row.precision} is slower than its float32 on this processor; use float32"
        for row in rows
        if row.precision != "float32" and row.ms > exact.get(row.runtime, row.ms)
    ]


Opener = Callable[[], TorchEngine | ExportedEngine]


def _openers(
    source: ExportSource, folder: Path, threads: int
) -> Iterator[tuple[tuple[RuntimeName, Precision], Opener]]:
    """What is timed, and how it is opened; exports are made when the first row of a runtime is opened."""
    settings, made = GraphSettings(_CPU, threads), dict[str, ExportManifest]()

    def torch_engine(precision: Precision) -> TorchEngine:
        # A lower precision changes the modules in place.
        backbone = source.backbone if precision == "float32" else copy.deepcopy(source.backbone)
        return TorchEngine(backbone, source.sha256, source.adapters, _CPU, precision)

    def exported(format: ExportFormat, precision: Precision) -> ExportedEngine:
        own = folder / format
        if format not in made:
            own.mkdir()
            made[format] = write_export(source, format, "float32", own)
        manifest = made[format].model_copy(update={"precision": precision})
        if precision == "int8":
            manifest = _in_int8(source, manifest, own)
        return ExportedEngine(manifest, own, settings, source.adapters)

    yield ("torch", "float32"), lambda: torch_engine("float32")
    yield ("torch", "bfloat16"), lambda: torch_engine("bfloat16")
    yield ("onnxruntime", "float32"), lambda: exported("onnx", "float32")
    yield ("openvino", "float32"), lambda: exported("openvino", "float32")
    yield ("openvino", "bfloat16"), lambda: exported("openvino", "bfloat16")
    yield ("openvino", "int8"), lambda: exported("openvino", "int8")


def _in_int8(source: ExportSource, manifest: ExportManifest, folder: Path) -> ExportManifest:
    """The backbone of an export once more, in int8 as a whole."""
    adapter, size = source.adapters[0], source.backbone.image_size
    given = examples(adapter.manifest.fbclip, source.backbone, adapter.head(), batch=1)
    pictures = [torch.randn(1, 3, size, size) for _ in range(_CALIBRATED_ON)]
    int8 = folder / "int8"
    int8.mkdir()
    graph = BackboneGraph(source.backbone, source.layers).eval()
    files = []
    for file in quantiser(graph, given, "openvino", int8, pictures)(()):
        files.append(file.rename(folder / f"int8-{file.name}"))
    quantised = Quantised(images=_CALIBRATED_ON, data_sha256=_DIGEST, rest="bfloat16", error=0.0)
    digests = dict(manifest.files) | {file.name: file_sha256(file) for file in files}
    return manifest.model_copy(update={"graph": files[0].name, "quantised": quantised, "files": digests})


def _times(
    detectors: dict[tuple[RuntimeName, Precision], Detector],
    backbone: Backbone,
    images: Tensor,
    adapter: Adapter,
    memory: str | None,
    repeats: int,
) -> tuple[dict[tuple[RuntimeName, Precision], float], float]:
    """Medians in ms of each detector and of the bare backbone in torch float32."""
    sigma = adapter.manifest.fbclip.score.smoothing_sigma
    jobs = [Job(image[None], adapter.id, sigma, memory=memory) for image in images]
    layers = adapter.manifest.fbclip.feature_layers
    times: dict[tuple[RuntimeName, Precision] | None, list[float]] = {key: [] for key in (None, *detectors)}
    for turn in range(repeats + 1):
        for key, spent in times.items():
            start = time.perf_counter()
            if key is None:
                with torch.inference_mode():
                    backbone(images, layers)
            else:
                detectors[key].infer_terms(jobs)
            if turn:
                spent.append((time.perf_counter() - start) * 1e3)
    bare = statistics.median(times[None])
    return {key: statistics.median(spent) for key, spent in times.items() if key is not None}, bare


def _adapter(backbone: Backbone, head: Head) -> Adapter:
    """What a prediction takes does not depend on the numbers, so the prototypes are random."""
    prototypes = torch.nn.functional.normalize(torch.randn(2, backbone.config.embed_dim), dim=-1)
    manifest = AdapterManifest(backbone=backbone.config, backbone_sha256=_DIGEST, method=head.config)
    return Adapter(manifest, {f"head.{name}": value for name, value in head.state_dict().items()}, prototypes)


def _memory_layers(backbone: Backbone, asked: TimedMemory | None) -> tuple[int, ...]:
    if asked is None:
        return ()
    config = random_memory(backbone, _DIGEST, TimedMemory(1, asked.features)).manifest.config
    return config.layers if config.features == "backbone" else ()
