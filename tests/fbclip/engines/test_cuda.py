"""The calls that only CUDA has, on a scripted torch.cuda: in which order they come, and what a graph that fails does.

What they compute is tested by tests/fbclip/test_detector_on_device.py where there is a GPU.
"""

from contextlib import nullcontext

import pytest
import torch

from fbclip.engines.cuda import CudaAccelerator

CUDA = torch.device("cuda", 0)


class ScriptedCuda:
    """Counts; `refuses` is raised when a capture ends, `broken` by every synchronisation."""

    def __init__(self, monkeypatch) -> None:
        self.calls, self.refuses, self.broken = [], None, None
        stream = type(
            "Stream", (), {"wait_stream": lambda *_: None, "synchronize": lambda _: self.calls.append("wait")}
        )
        graph = type("Graph", (), {"replay": lambda _: self.calls.append("replay"), "pool": lambda _: (1, 2)})
        for name, value in {
            "Stream": lambda _device: stream(),
            "current_stream": lambda _device: stream(),
            "stream": lambda _stream: nullcontext(),
            "device": lambda _device: nullcontext(),
            "CUDAGraph": graph,
            "graph": self.graph,
            "synchronize": self.synchronize,
            "empty_cache": lambda: self.calls.append("empty"),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: self.calls.append("pin") or tensor)
        whole = torch.Tensor.to
        monkeypatch.setattr(
            torch.Tensor,
            "to",
            lambda tensor, place, **kw: self.calls.append(kw) or (tensor if place == CUDA else whole(tensor, place)),
        )

    def graph(self, _graph, pool=None, capture_error_mode=None):
        self.calls.append(("capture", pool, capture_error_mode))
        if self.refuses is not None:
            raise self.refuses
        return nullcontext()

    def synchronize(self, _device):
        if self.broken is not None:
            raise self.broken


@pytest.fixture
def cuda(monkeypatch):
    return ScriptedCuda(monkeypatch)


def counted(runs):
    def run(values):
        runs.append(len(values))
        return (values + 1,)

    return run


def test_pixels_go_up_pinned_and_nobody_waits_for_them(cuda):
    tensor = torch.zeros(2, 3, dtype=torch.uint8)
    assert CudaAccelerator(CUDA).upload(tensor) is tensor
    assert cuda.calls == ["pin", {"non_blocking": True}]


def test_a_capture_warms_up_twice_shares_its_memory_and_hands_out_copies(cuda):
    device, runs = CudaAccelerator(CUDA), []
    replay = device.capture(counted(runs), [torch.zeros(3, 2)])
    assert runs == [3, 3, 3]
    assert cuda.calls == [("capture", None, "thread_local")]
    first = replay(torch.ones(3, 2))[0]
    second = replay(torch.ones(3, 2))[0]
    assert first.data_ptr() != second.data_ptr()
    assert cuda.calls[1:] == ["replay", "replay"]
    device.capture(counted(runs), [torch.zeros(1, 2)])
    assert cuda.calls[-1] == ("capture", (1, 2), "thread_local")
    device.free()
    assert cuda.calls[-1] == "empty"


def test_a_refused_capture_is_none_but_memory_and_a_lost_device_are_raised(cuda, monkeypatch):
    device = CudaAccelerator(CUDA)
    monkeypatch.setattr(torch, "ones", lambda *_, **__: torch.zeros(1))
    cuda.refuses = RuntimeError("operation not permitted when stream is capturing")
    assert device.capture(counted([]), [torch.zeros(3, 2)]) is None
    cuda.refuses = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(torch.OutOfMemoryError):
        device.capture(counted([]), [torch.zeros(3, 2)])
    cuda.refuses, cuda.broken = RuntimeError("CUDA error: launch failure"), RuntimeError("CUDA error: launch failure")
    with pytest.raises(RuntimeError, match="launch failure"):
        device.capture(counted([]), [torch.zeros(3, 2)])


def test_a_device_answers_unless_computing_fails_for_another_reason_than_memory(cuda, monkeypatch):
    device = CudaAccelerator(CUDA)
    monkeypatch.setattr(torch, "ones", lambda *_, **__: torch.zeros(1))
    assert device.answers()
    cuda.broken = torch.OutOfMemoryError("CUDA out of memory")
    assert device.answers()
    cuda.broken = RuntimeError("CUDA error: uncorrectable ECC error encountered")
    assert not device.answers()
