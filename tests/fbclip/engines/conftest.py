"""One export of each format, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fbclip.engines.exported_engine import ExportedEngine
from tests.factories.exports import exported_engine, tiny_export

# Two in one batch are the engine's business, not the runtime's; OpenVINO takes long to convert each.
ADAPTERS = {"onnx": 2, "openvino": 1}


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Format -> folder."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("onnx", "openvino")}
    for name, folder in folders.items():
        tiny_export(folder, name, adapters=ADAPTERS[name])
    return folders


@pytest.fixture(scope="session")
def engines(exports: dict[str, Path]) -> dict[str, ExportedEngine]:
    """Format -> what runs it; graphs are compiled once."""
    return {name: exported_engine(folder, name, adapters=ADAPTERS[name]) for name, folder in exports.items()}
