"""Exports of the tiny model, and detectors on them."""

from __future__ import annotations

from pathlib import Path

import torch

from fbclip.backbone.config import ExportFormat, Precision
from fbclip.engines.export_manifest import RUNTIMES, ExportManifest
from fbclip.engines.exported_engine import ExportedEngine, RunsOn, open_export
from fbclip.export.run import write_export
from fbclip.export.source import ExportSource
from tests.factories.models import tiny_adapter, tiny_backbone


def tiny_export(folder: Path, format: ExportFormat, precision: Precision = "float32", **more: Path) -> ExportManifest:
    """The tiny backbone with the two adapters of `tiny_detector`, in `folder`."""
    backbone, digest = tiny_backbone()
    folder.mkdir(parents=True, exist_ok=True)
    source = ExportSource(backbone, digest, [tiny_adapter(2), tiny_adapter(3)], (1, 2, 3))
    return write_export(source, format, precision, folder, **more)


def exported_engine(folder: Path, format: ExportFormat, precision: Precision = "float32") -> ExportedEngine:
    """What runs it, with both adapters."""
    runs = RunsOn(RUNTIMES[format], folder, 2)
    return open_export(runs, [tiny_adapter(2), tiny_adapter(3)], torch.device("cpu"), precision)
