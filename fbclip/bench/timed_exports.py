"""Engines of every runtime and precision of this machine, for timing; exports are made once and kept in a folder."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from fbclip.backbone.config import ExportFormat, Precision, RuntimeName
from fbclip.engines.export_manifest import ExportManifest, Quantised, read_export, write_export_manifest
from fbclip.engines.exported_engine import ExportedEngine
from fbclip.engines.graph_session import GraphSettings
from fbclip.engines.torch_engine import TorchEngine
from fbclip.errors import ExportError
from fbclip.export.graphs import BackboneGraph, examples
from fbclip.export.run import quantiser, write_export
from fbclip.export.source import ExportSource
from fbclip.files import file_sha256

_CPU = torch.device("cpu")
_CALIBRATED_ON = 2
"""Random pictures: what int8 takes does not depend on them, what it is worth does, and is not measured here."""


class Computes(NamedTuple):
    """What a row of the table is about."""

    runtime: RuntimeName
    precision: Precision

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}"


BASE = Computes("torch", "float32")
ROWS: Sequence[Computes] = (
    BASE,
    Computes("torch", "bfloat16"),
    Computes("onnxruntime", "float32"),
    Computes("openvino", "float32"),
    Computes("openvino", "bfloat16"),
    Computes("openvino", "int8"),
)
_FORMATS: dict[RuntimeName, ExportFormat] = {"onnxruntime": "onnx", "openvino": "openvino"}


class TimedExports:
    """Opens engines one at a time. Exports of an earlier run in `folder` are used if they are of `source`."""

    def __init__(self, source: ExportSource, folder: Path, threads: int) -> None:
        self._source, self._folder = source, folder
        self._settings = GraphSettings(_CPU, threads)

    def open(self, wanted: Computes) -> TorchEngine | ExportedEngine:
        """Raises ConfigError for a runtime that is not installed, and ExportError."""
        source = self._source
        if wanted.runtime == "torch":
            # A lower precision changes the modules in place.
            backbone = source.backbone if wanted == BASE else copy.deepcopy(source.backbone)
            return TorchEngine(backbone, source.sha256, source.adapters, _CPU, wanted.precision)
        folder = self._folder / (_FORMATS[wanted.runtime] + ("-int8" if wanted.precision == "int8" else ""))
        manifest = self._found(folder)
        if manifest is None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            manifest = self._int8(folder) if wanted.precision == "int8" else self._float(wanted.runtime, folder)
        manifest = manifest.model_copy(update={"precision": wanted.precision})
        return ExportedEngine(manifest, folder, self._settings, source.adapters)

    def _found(self, folder: Path) -> ExportManifest | None:
        """A whole export of this very model that is there already."""
        try:
            manifest = read_export(folder)
        except ExportError:
            return None
        ids = [one.id for one in manifest.adapters]
        same = ids == [one.id for one in self._source.adapters] and manifest.layers == tuple(self._source.layers)
        return manifest if same else None

    def _float(self, runtime: RuntimeName, folder: Path) -> ExportManifest:
        return write_export(self._source, _FORMATS[runtime], "float32", folder)

    def _int8(self, folder: Path) -> ExportManifest:
        """The export of OpenVINO once more, its backbone in int8 as a whole."""
        source, exact = self._source, self._folder / "openvino"
        manifest = self._found(exact)
        if manifest is None:
            shutil.rmtree(exact, ignore_errors=True)
            exact.mkdir(parents=True)
            manifest = self._float("openvino", exact)
        for name in self._of_adapters(manifest):
            shutil.copyfile(exact / name, folder / name)
        adapter, size = source.adapters[0], source.backbone.image_size
        given = examples(adapter.manifest.fbclip, source.backbone, adapter.head(), batch=1)
        pictures = [torch.randn(1, 3, size, size) for _ in range(_CALIBRATED_ON)]
        graph = BackboneGraph(source.backbone, source.layers).eval()
        files = quantiser(graph, given, "openvino", folder, pictures)(())
        names = (*self._of_adapters(manifest), *(file.name for file in files))
        made = manifest.model_copy(
            update={
                "precision": "int8",
                "graph": files[0].name,
                "quantised": Quantised(images=_CALIBRATED_ON, data_sha256="0" * 64, rest="bfloat16", error=0.0),
                "files": {name: file_sha256(folder / name) for name in names},
            }
        )
        write_export_manifest(made, folder)
        return made

    @staticmethod
    def _of_adapters(manifest: ExportManifest) -> Iterator[str]:
        graphs = [Path(name).stem for one in manifest.adapters for name in one.graphs.values()]
        return (name for name in manifest.files if Path(name).stem in graphs)
