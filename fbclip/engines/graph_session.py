"""One graph in ONNX Runtime or OpenVINO: arrays in, arrays out. Faults of either become errors of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fbclip.backbone.config import Precision, RuntimeName
from fbclip.engines.faults import runtime_fault
from fbclip.errors import ConfigError, ExportError

_EXTRA: dict[RuntimeName, str] = {"onnxruntime": "onnx", "openvino": "openvino"}
_HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


@dataclass(frozen=True)
class GraphSettings:
    """Where and how graphs run. `threads` are those of one inference."""

    device: torch.device
    threads: int


class GraphSession(Protocol):
    """A compiled graph."""

    def run(self, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        """By name; raises InferenceError."""


def runtime_module(runtime: RuntimeName) -> Any:
    """The library; raises ConfigError naming the extra that brings it."""
    try:
        return import_module(runtime)
    except ImportError as error:
        raise ConfigError(
            f"model.runtime {runtime}: not installed here; pip install 'fbclip-inspect[{_EXTRA[runtime]}]'"
        ) from error


def runs_on_cuda(runtime: RuntimeName) -> bool:
    """Whether the library as it is installed can use a CUDA device; raises as `runtime_module`."""
    if runtime != "onnxruntime":
        return False
    return "CUDAExecutionProvider" in runtime_module(runtime).get_available_providers()


def open_graph(runtime: RuntimeName, file: Path, precision: Precision, settings: GraphSettings) -> GraphSession:
    """Compile a graph to compute in `precision`, a float one: an int8 graph says itself what of it is int8.

    Raises ConfigError for a runtime or device that is not here, ExportError for a graph that the runtime does not take.
    """
    library = runtime_module(runtime)
    try:
        if runtime == "onnxruntime":
            return OnnxGraph(library, file, settings)
        return OpenVinoGraph(library, file, _HINTS[precision], settings)
    except (ConfigError, ExportError):
        raise
    # Both libraries raise their own kinds, which share no base but this.
    except Exception as error:
        raise ExportError(
            f"{file}: {runtime} {library.__version__} does not take this graph ({_first_line(error)}); "
            "run `fbclip export` again with the libraries of this machine"
        ) from error


class OnnxGraph:
    """In ONNX Runtime, on the CPU or a CUDA device."""

    def __init__(self, library: Any, file: Path, settings: GraphSettings) -> None:
        options = library.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
        # Waiting threads would take the processor from everybody else.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        providers: list[Any] = ["CPUExecutionProvider"]
        if settings.device.type == "cuda":
            if "CUDAExecutionProvider" not in library.get_available_providers():
                raise ConfigError(
                    "model.device cuda: the installed onnxruntime has no CUDA; pip install onnxruntime-gpu, or use cpu"
                )
            # TF32 changes margins by more than a threshold can bear.
            cuda = {"device_id": settings.device.index or 0, "use_tf32": 0}
            providers.insert(0, ("CUDAExecutionProvider", cuda))
        self._file = file
        self._session = library.InferenceSession(str(file), options, providers=providers)
        if settings.device.type == "cuda" and "CUDAExecutionProvider" not in self._session.get_providers():
            # It says so in its log alone, and computes on the CPU.
            raise ConfigError(
                f"model.device {settings.device}: onnxruntime {library.__version__} cannot start CUDA here (CUDA or "
                "cuDNN is missing or of another version); install what its log names, or use cpu"
            )
        # Else it would go on on the CPU when the device fails, and a profile belongs to one device.
        self._session.disable_fallback()
        self._takes = [value.name for value in self._session.get_inputs()]

    def run(self, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        given = {name: _array(inputs[name]) for name in self._takes}
        try:
            found = self._session.run(list(outputs), given)
        except Exception as error:
            raise runtime_fault(f"onnxruntime failed in {self._file.name}", error, _first_line(error)) from error
        return {name: torch.from_numpy(value) for name, value in zip(outputs, found, strict=True)}


class OpenVinoGraph:
    """In OpenVINO, on the CPU."""

    def __init__(self, library: Any, file: Path, hint: str, settings: GraphSettings) -> None:
        if settings.device.type != "cpu":
            raise ConfigError(f"model.device {settings.device}: exports run in OpenVINO on the cpu only")
        core = library.Core()
        # Left to itself it computes in bfloat16 wherever the processor can.
        hints = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": settings.threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        self._file = file
        self._compiled = core.compile_model(core.read_model(file), "CPU", hints)
        self._takes = [port.get_any_name() for port in self._compiled.inputs]

    def run(self, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        try:
            found = self._compiled({name: _array(inputs[name]) for name in self._takes})
            return {name: torch.from_numpy(np.array(found[name], np.float32)) for name in outputs}
        except Exception as error:
            raise runtime_fault(f"openvino failed in {self._file.name}", error, _first_line(error)) from error


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), np.float32)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # OpenVINO states first where in its own source it failed, and what last.
    return (lines[-1] if lines else type(error).__name__)[:300]
