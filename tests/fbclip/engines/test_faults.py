"""Out of memory, a lost device and all else are told apart, by kind or by what libraries write."""

import pytest
import torch

from fbclip.engines.faults import named_faults, runtime_fault
from fbclip.errors import DeviceLostError, DeviceMemoryError, InferenceError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: 12 bytes"),
        MemoryError(),
    ],
)
def test_memory_that_ran_out_is_named_and_keeps_its_cause(error):
    with pytest.raises(DeviceMemoryError, match="cpu: out of memory") as found, named_faults(CPU, lambda: True):
        raise error
    assert found.value.__cause__ is error
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "text", ["CUDA error: unspecified launch failure", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "anything"]
)
def test_whether_a_device_is_lost_is_asked_of_the_device(text):
    with pytest.raises(DeviceLostError, match="does not answer any more"), named_faults(CPU, lambda: False):
        raise RuntimeError(text)
    with pytest.raises(RuntimeError, match=text) as found, named_faults(CPU, lambda: True):
        raise RuntimeError(text)
    assert not isinstance(found.value, InferenceError)


def test_what_has_a_name_already_and_mistakes_of_ours_are_left_as_they_are():
    for error in (DeviceMemoryError("x"), ValueError("y")):
        with pytest.raises(type(error)) as found, named_faults(CPU, lambda: False):
            raise error
        assert found.value is error


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 1073741824", DeviceMemoryError),
        ("CUDA failure 2: out of memory ; GPU=0", DeviceMemoryError),
        ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", DeviceLostError),
        ("CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED", DeviceLostError),
        ("Got invalid dimensions for input: images", InferenceError),
    ],
)
def test_runtimes_have_only_words(text, kind):
    assert type(runtime_fault("onnxruntime failed in backbone.onnx", RuntimeError(text), text)) is kind
