"""`fbclip export`: a backbone with its adapters -> a folder of graphs, whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from fbclip import __version__
from fbclip.artefacts.adapter import load_adapter
from fbclip.artefacts.compatibility import check_adapter
from fbclip.artefacts.generation import embedded_model
from fbclip.backbone.config import EMBEDDED, ExportFormat, Precision
from fbclip.backbone.weights import embedded_weights, find_weights, open_backbone
from fbclip.engines.export_manifest import (
    FILE,
    RUNTIMES,
    ExportedAdapter,
    ExportManifest,
    Quantised,
    write_export_manifest,
)
from fbclip.errors import AdapterError, ConfigError
from fbclip.export.calibration import read_calibration
from fbclip.export.convert import check_format, openvino_model, write_onnx, write_openvino
from fbclip.export.effect import Int8Effect
from fbclip.export.graphs import BackboneGraph, Graph, examples, head_graphs
from fbclip.export.quantise import int8_onnx, int8_openvino, parts
from fbclip.export.search import LIMIT, search_float_parts
from fbclip.export.source import ExportSource
from fbclip.files import file_sha256
from fbclip.memory.bank import load_memory
from fbclip.memory.features import default_config

Note = Callable[[str], None]


@dataclass(frozen=True)
class ExportRequest:
    """What is exported, and how. No adapter: the embedded one. memories: whose layers the graphs have to give.

    calibration: folder of the line's normal images, for int8.
    """

    format: ExportFormat
    out: Path
    precision: Precision = "float32"
    backbone: str = EMBEDDED.name
    weights: Path | None = None
    adapters: Sequence[Path] = ()
    memories: Sequence[Path] = ()
    calibration: Path | None = None


def export(request: ExportRequest, note: Note = lambda _: None) -> ExportManifest:
    """Raises ConfigError, AdapterError, WeightsError, MemoryBankError or ExportError; then nothing was written."""
    check_format(RUNTIMES[request.format], request.precision)
    if (request.precision == "int8") != (request.calibration is not None):
        raise ConfigError(
            "--calibration, a folder of the line's normal images, belongs to --precision int8, and only to it"
        )
    if request.out.exists() and not (request.out / FILE).is_file() and any(request.out.iterdir()):
        raise ConfigError(f"--out {request.out}: holds something that is no export; name another folder")
    source = open_source(request)
    work = request.out.with_name(f".{request.out.name}.{os.getpid()}.new")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        manifest = write_export(source, request.format, request.precision, work, request.calibration, note)
        _put_in_place(work, request.out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def open_source(request: ExportRequest) -> ExportSource:
    """The model that is to be exported; raises as `export` does."""
    if request.backbone != EMBEDDED.name and not request.adapters:
        raise AdapterError(f"backbone {request.backbone} needs --adapter (`calibrate import` makes one)")
    if request.backbone == EMBEDDED.name and request.weights is None:
        model = embedded_model(request.adapters, request.memories)
        file, folders = embedded_weights(model), [*request.adapters] or [model.adapter]
    else:
        file, folders = find_weights(request.backbone, request.weights), [*request.adapters]
    loaded = {one.id: one for one in map(load_adapter, folders)}
    first = next(iter(loaded.values()))
    backbone, digest = open_backbone(file, first.manifest.fbclip.image_size)
    configs = [load_memory(folder).manifest.config for folder in request.memories] or [default_config(backbone.config)]
    for adapter in loaded.values():
        check_adapter(adapter, backbone.config, digest, backbone.image_size)
    layers = {layer for adapter in loaded.values() for layer in adapter.manifest.fbclip.layers}
    layers |= {layer for config in configs if config.features == "backbone" for layer in config.layers}
    return ExportSource(backbone, digest, tuple(loaded.values()), sorted(layers))


def write_export(
    source: ExportSource,
    format: ExportFormat,
    precision: Precision,
    folder: Path,
    calibration: Path | None = None,
    note: Note = lambda _: None,
) -> ExportManifest:
    """All graphs and the manifest into an empty folder. Raises ConfigError or ExportError."""
    files: list[Path] = []
    adapters = []
    given: dict[str, Tensor] = {}
    for number, adapter in enumerate(source.adapters):
        head = adapter.head()
        given = examples(head.config, source.backbone, head)
        graphs = {}
        for part, graph in head_graphs(head, adapter.prototypes, source.backbone).items():
            note(f"{part} of adapter {adapter.id[:12]}")
            written = _write(graph, given, format, folder, f"a{number}-{part}")
            files += written
            graphs[part] = written[0].name
        adapters.append(ExportedAdapter(id=adapter.id, method=head.config, graphs=graphs))
    note("backbone")
    graph, quantised = BackboneGraph(source.backbone, source.layers).eval(), None
    if calibration is None:
        written = _write(graph, given, format, folder, "backbone")
    else:
        written, quantised = _write_int8(source, graph, given, format, folder, calibration, note)
    manifest = ExportManifest(
        version=__version__,
        format=format,
        precision=precision,
        backbone=source.backbone.config,
        backbone_sha256=source.sha256,
        image_size=source.backbone.image_size,
        layers=tuple(source.layers),
        strides=source.backbone.features is not None,
        graph=written[0].name,
        adapters=tuple(adapters),
        quantised=quantised,
        files={file.name: file_sha256(file) for file in (*files, *written)},
    )
    write_export_manifest(manifest, folder)
    return manifest


def _write(graph: Graph, given: dict[str, Tensor], format: ExportFormat, folder: Path, name: str) -> list[Path]:
    """The graph's file first."""
    if format == "onnx":
        file = folder / f"{name}.onnx"
        write_onnx(graph, given, file)
        return [file]
    return write_openvino(openvino_model(graph, given), folder / f"{name}.xml")


def _write_int8(
    source: ExportSource,
    graph: BackboneGraph,
    given: dict[str, Tensor],
    format: ExportFormat,
    folder: Path,
    calibration: Path,
    note: Note,
) -> tuple[list[Path], Quantised]:
    """The backbone in int8, as far as that does not hurt, and its rest in bfloat16 where that moves maps far less.

    How far maps move is measured on pictures that calibrated nothing.
    """
    config, size = source.backbone.config, source.backbone.image_size
    images = read_calibration(calibration, size, config.patch_size)
    quantise = quantiser(graph, given, format, folder, images.calibrate)
    effect = Int8Effect(source, images.measure, RUNTIMES[format])
    rest: Literal["float32", "bfloat16"] = "float32"
    if format == "openvino":
        lowered = effect.error(_write(graph, given, format, folder, "backbone")[0], "bfloat16")
        note(f"all in bfloat16: maps move by {lowered:.3f} of their spread")
        rest = "bfloat16" if lowered <= LIMIT / 2 else "float32"
    found = search_float_parts(
        parts(config.layers, source.backbone.features is not None),
        lambda kept: effect.error(quantise(kept)[0], rest),
        note,
    )
    written = quantise(found.in_float)
    quantised = Quantised(
        images=len(images.calibrate),
        data_sha256=images.data_sha256,
        kept_float=found.in_float,
        rest=rest,
        error=round(found.error, 6),
    )
    return written, quantised


def quantiser(
    graph: BackboneGraph, given: dict[str, Tensor], format: ExportFormat, folder: Path, images: Sequence[Tensor]
) -> Callable[[Sequence[str]], list[Path]]:
    """Parts that stay in float -> the files of the backbone with all others in int8, each time the same files."""
    if format == "openvino":
        model = openvino_model(graph, given)
        return lambda kept: write_openvino(int8_openvino(model, images, kept), folder / "backbone.xml")
    exact, target = folder / "backbone-float.onnx", folder / "backbone.onnx"

    def quantise(kept: Sequence[str]) -> list[Path]:
        write_onnx(graph, given, exact)
        int8_onnx(exact, images, kept, target)
        exact.unlink()
        return [target]

    return quantise


def _put_in_place(work: Path, out: Path) -> None:
    """Instead of an earlier export, whole or not at all."""
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.exists():
        out.rename(old)
    try:
        work.rename(out)
    except BaseException:
        if old.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)
