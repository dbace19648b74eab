"""Where a model runs and how precisely: the device, and which parts a lower precision reaches."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from fbclip.backbone.config import Precision
from fbclip.backbone.tower import Backbone
from fbclip.errors import ConfigError
from fbclip.method.model import Head
from fbclip.process_memory import keep_freed_memory

_MATRIX_DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
TORCH_PRECISIONS: tuple[Precision, ...] = tuple(_MATRIX_DTYPES)
"""Those that torch computes in; others need an export."""


def matrix_dtype(precision: Precision) -> torch.dtype:
    """What torch multiplies matrices in; raises ConfigError for a precision that only exports have."""
    try:
        return _MATRIX_DTYPES[precision]
    except KeyError as error:
        raise ConfigError(
            f"precision {precision} needs an export (`fbclip export`) and model.runtime onnxruntime or openvino"
        ) from error


def pick_device(wanted: str) -> torch.device:
    """`auto` takes the GPU when there is one; raises ConfigError when a named one is missing or unknown."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ConfigError(f"model.device {wanted}: no such device; use auto, cpu or cuda[:N]") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ConfigError(f"model.device {wanted}: no such GPU on this machine; use cpu or auto")
    return device


def prepare_process() -> None:
    """What every engine relies on, for the whole process: exact sums on a GPU, and memory that is kept on a CPU."""
    _forbid_inexact_sums()
    keep_freed_memory()


def _forbid_inexact_sums() -> None:
    """On a GPU: no TF32, which changes margins by more than a threshold can bear, and products of a lower precision are
    added in float32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def set_precision(backbone: Backbone, heads: Iterable[Head], precision: Precision) -> None:
    """Matrix products of the blocks and of FB-Attention in `precision`; everything else stays float32."""
    if precision == "float32":
        return
    dtype = matrix_dtype(precision)
    backbone.compute_in(dtype)
    for head in heads:
        head.attention.product_dtype = dtype
