"""Graphs to files: ONNX by torch's exporter, OpenVINO by its own. The batch stays open, every other side is fixed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fbclip.engines.graph_session import runtime_module
from fbclip.errors import ConfigError, ExportError
from fbclip.export.graphs import Graph

log = logging.getLogger(__name__)
OPSET = 17
"""The first with LayerNormalization as one operator."""


def write_onnx(graph: Graph, given: Mapping[str, Tensor], file: Path) -> None:
    """Checked, into a folder that nobody looks at yet. Raises ExportError naming the operator that is not known."""
    runtime_module("onnxruntime")
    import onnx

    axes = {name: {0: "batch"} for name in (*graph.takes, *graph.gives)}
    try:
        # The exporter that follows a trace: the newer one asks for one more library, and nothing here needs it.
        with torch.no_grad(), _quiet():
            torch.onnx.export(
                graph,
                tuple(given[name] for name in graph.takes),
                str(file),
                input_names=list(graph.takes),
                output_names=list(graph.gives),
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
        onnx.checker.check_model(str(file))
    except Exception as error:
        raise ExportError(f"{file.name}: ONNX opset {OPSET} does not take this graph: {_first(error)}") from error


def openvino_model(graph: Graph, given: Mapping[str, Tensor]) -> Any:
    """The same as a model of OpenVINO, in memory. Raises ExportError naming the operator that cannot be exported."""
    library = runtime_module("openvino")
    try:
        # Straight from torch, not from the ONNX file: attention stays one operator, which is a fifth faster.
        with torch.no_grad(), _quiet():
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                graph, tuple(given[name] for name in graph.takes), check_trace=False
            )
        with _quiet():
            shapes = [(library.PartialShape([-1, *given[name].shape[1:]])) for name in graph.takes]
            model = library.convert_model(traced, input=shapes)
    except Exception as error:
        raise ExportError(f"OpenVINO {library.__version__} does not take this graph: {_last(error)}") from error
    for ports, wanted in ((model.inputs, graph.takes), (model.outputs, graph.gives)):
        if len(ports) != len(wanted):
            raise ExportError(f"OpenVINO made {len(ports)} of {len(wanted)} inputs or outputs; export to onnx instead")
        for port, name in zip(ports, wanted, strict=True):
            port.get_tensor().set_names({name})
    return model


def write_openvino(model: Any, file: Path) -> list[Path]:
    """`<file>.xml` and its weights beside it. Raises OSError."""
    runtime_module("openvino").save_model(model, str(file), compress_to_fp16=False)
    return [file, file.with_suffix(".bin")]


def check_format(runtime: str, precision: str) -> None:
    """Raises ConfigError for what ONNX Runtime does not compute on a CPU."""
    if runtime == "onnxruntime" and precision in {"bfloat16", "float16"}:
        raise ConfigError(f"--precision {precision}: ONNX Runtime computes float32 and int8; use --format openvino")


class _quiet(warnings.catch_warnings):
    """Tracers warn of every size that they take for fixed, which all but the batch is."""

    def __enter__(self) -> Any:
        found = super().__enter__()
        warnings.simplefilter("ignore")
        return found


def _first(error: BaseException) -> str:
    return _lines(error)[0]


def _last(error: BaseException) -> str:
    """OpenVINO states first where in its own source it failed, and which operator it does not know last."""
    return _lines(error)[-1]


def _lines(error: BaseException) -> list[str]:
    lines = [line.strip()[:300] for line in str(error).splitlines() if line.strip()]
    return lines or [type(error).__name__]
