"""Failures of what computes -> named errors, by their kind where torch has one, else by what the libraries write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from fbclip.errors import DeviceLostError, DeviceMemoryError, InferenceError

_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|failed to allocate|not enough memory|_ALLOC_FAILED",
    re.IGNORECASE,
)
_DEVICE = re.compile(r"CUDA(_| )(failure|error)|cudaError|CUBLAS failure|CUDNN failure", re.IGNORECASE)
_LONGEST = 300


def is_out_of_memory(error: BaseException) -> bool:
    """Of torch, its libraries, or a runtime."""
    return isinstance(error, torch.OutOfMemoryError) or bool(_MEMORY.search(str(error)))


def runtime_fault(what: str, error: BaseException, line: str) -> InferenceError:
    """A failure of ONNX Runtime or OpenVINO, which have no kinds for these; `line` is what they said of it."""
    if is_out_of_memory(error):
        return DeviceMemoryError(f"{what}: out of memory: {line}")
    if _DEVICE.search(str(error)):
        return DeviceLostError(f"{what}: the device failed: {line}")
    return InferenceError(f"{what}: {line}")


@contextmanager
def named_faults(device: torch.device, answers: Callable[[], bool]) -> Iterator[None]:
    """Around what computes in torch; `answers` is asked after a failure whether the device still computes.

    Raises DeviceMemoryError and DeviceLostError from their cause; all other errors are left as they are.
    """
    try:
        yield
    except InferenceError:
        raise
    except (RuntimeError, MemoryError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST]
        if is_out_of_memory(error) or isinstance(error, MemoryError):
            raise DeviceMemoryError(f"{device}: out of memory: {line}") from error
        if not answers():
            raise DeviceLostError(f"{device}: the device does not answer any more: {line}") from error
        raise
