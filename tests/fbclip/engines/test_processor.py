"""Cores and precisions of this processor."""

import os

import pytest

from fbclip.engines import processor


def test_threads_are_those_asked_for_or_leave_one_to_the_rest(monkeypatch):
    assert processor.inference_threads(3) == 3
    for found, want in ((1, 1), (2, 2), (4, 3), (16, 15)):
        monkeypatch.setattr(processor, "cores", lambda found=found: found)
        assert processor.inference_threads(None) == want
    monkeypatch.undo()
    assert 1 <= processor.cores() <= os.cpu_count()


@pytest.mark.parametrize(
    ("flags", "precision", "slow"),
    [
        ("avx2 fma", "bfloat16", True),
        ("avx2 avx512_bf16", "bfloat16", False),
        ("avx2", "int8", True),
        ("avx_vnni", "int8", False),
        ("avx2", "float32", False),
        ("", "int8", False),
    ],
)
def test_a_precision_without_instructions_for_it_is_said_to_be_slow(monkeypatch, flags, precision, slow):
    monkeypatch.setattr(processor, "_facts", lambda: {"model name": "Some CPU", "flags": flags})
    text = processor.slow_precision("openvino", precision)
    assert (text is not None) is slow
    if text:
        assert "Some CPU" in text
