"""A backbone's graph in int8: its convolutions and the products of its blocks, by NNCF or ONNX Runtime.

Only the backbone is ever given here: masks, views, attention, background subtraction and margins stay in float. Parts
of it are named as people would: `features`, `stem`, `block 3`.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fbclip.engines.graph_names import IMAGES
from fbclip.engines.graph_session import runtime_module
from fbclip.errors import ExportError
from fbclip.files import write_atomically


def parts(blocks: int, features: bool) -> tuple[str, ...]:
    """Every part of a backbone of so many blocks."""
    return (*(("features",) if features else ()), "stem", *(f"block {number}" for number in range(1, blocks + 1)))


def part_pattern(part: str) -> str:
    """A regular expression for the names that exporters give the operators of a part."""
    if part.startswith("block "):
        return rf".*resblocks[./]{int(part[6:]) - 1}[./].*"
    return r".*backbone[./]features[./].*" if part == "features" else r".*visual[./]conv1[./].*"


def int8_openvino(model: Any, images: Sequence[Tensor], in_float: Iterable[str]) -> Any:
    """A model of OpenVINO -> the same in int8. Raises ExportError."""
    runtime_module("openvino")
    try:
        import nncf
    except ImportError as error:
        raise ExportError("int8 takes nncf; pip install 'fbclip-inspect[openvino]'") from error
    # It reports every step of its own.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    ignored = nncf.IgnoredScope(patterns=[part_pattern(part) for part in in_float], validate=False)
    try:
        return nncf.quantize(
            model.clone(),
            nncf.Dataset([_array(image) for image in images]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(images),
            ignored_scope=ignored,
        )
    except Exception as error:
        raise ExportError(f"nncf {nncf.__version__} cannot quantise this backbone: {_first(error)}") from error


def int8_onnx(file: Path, images: Sequence[Tensor], in_float: Iterable[str], target: Path) -> None:
    """The ONNX file of a backbone -> the same in int8, as quantise-dequantise pairs. Raises ExportError."""
    runtime_module("onnxruntime")
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class _Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rest: Iterator[Tensor] = iter(images)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            image = next(self._rest, None)
            return None if image is None else {IMAGES: _array(image)}

    patterns = [re.compile(part_pattern(part)) for part in in_float]
    names = [node.name for node in onnx.load(file, load_external_data=False).graph.node]
    kept = [name for name in names if any(pattern.match(name) for pattern in patterns)]
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            prepared, made = Path(folder) / "prepared.onnx", Path(folder) / "made.onnx"
            # Shapes by ONNX's own inference: the symbolic one needs a further library, and is not needed here.
            quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True, skip_optimization=True)
            quantize_static(
                str(prepared),
                str(made),
                _Images(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv", "Gemm", "MatMul"],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=kept,
                # Products of two activations, those inside attention, stay in float.
                extra_options={"MatMulConstBOnly": True},
            )
            write_atomically(target, made.read_bytes())
    except Exception as error:
        raise ExportError(f"onnxruntime cannot quantise this backbone: {_first(error)}") from error


def _array(image: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(image.numpy(), np.float32)


def _first(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
