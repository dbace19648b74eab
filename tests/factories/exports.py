"""Exports of the tiny model, and detectors on them: a window of 3 makes graphs of a third of the operators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from fbclip.artefacts.adapter import Adapter
from fbclip.backbone.config import ExportFormat, Precision
from fbclip.detector import Detector
from fbclip.engines.export_manifest import RUNTIMES, ExportManifest
from fbclip.engines.exported_engine import ExportedEngine, RunsOn, open_export
from fbclip.engines.torch_engine import TorchEngine
from fbclip.export.run import write_export
from fbclip.export.source import ExportSource
from fbclip.memory.bank import Memory
from fbclip.method.config import ViewConfig
from tests.factories.models import TINY_METHOD, tiny_adapter, tiny_backbone

CPU = torch.device("cpu")
METHOD = TINY_METHOD.model_copy(update={"view": ViewConfig(spatial_window=3)})


def exported_adapters(count: int = 2) -> list[Adapter]:
    """Those that are in the exports."""
    return [tiny_adapter(seed, METHOD) for seed in (2, 3)[:count]]


def exact_detector(memories: Sequence[Memory] = (), adapters: int = 2) -> Detector:
    """The model that is exported, in torch."""
    backbone, digest = tiny_backbone()
    return Detector(TorchEngine(backbone, digest, exported_adapters(adapters), CPU), memories)


def tiny_export(
    folder: Path, format: ExportFormat, precision: Precision = "float32", adapters: int = 2, **more: Path
) -> ExportManifest:
    """The tiny backbone with the adapters of `exact_detector`, in `folder`."""
    backbone, digest = tiny_backbone()
    folder.mkdir(parents=True, exist_ok=True)
    source = ExportSource(backbone, digest, exported_adapters(adapters), (1, 2, 3))
    return write_export(source, format, precision, folder, **more)


def exported_engine(
    folder: Path, format: ExportFormat, precision: Precision = "float32", adapters: int = 2
) -> ExportedEngine:
    """What runs it, with its adapters."""
    return open_export(RunsOn(RUNTIMES[format], folder, 2), exported_adapters(adapters), CPU, precision)
