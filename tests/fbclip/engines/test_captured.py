"""Captures: from the second batch of a size on, few of them, never of huge batches, and right without any."""

import torch

from fbclip.engines import captured
from fbclip.engines.captured import CapturedCalls
from tests.factories.accelerators import FaultyAccelerator


def double(values):
    return (values * 2,)


def batches(*rows):
    return [torch.full((n, 3), float(n)) for n in rows]


def test_a_size_is_captured_when_it_comes_the_second_time():
    device = FaultyAccelerator()
    calls = CapturedCalls(double, device)
    for batch in batches(4, 4, 4, 2, 4, 2, 2):
        assert torch.equal(calls(batch)[0], batch * 2)
    assert device.captured == [4, 2]


def test_results_are_the_callers_own():
    calls = CapturedCalls(double, FaultyAccelerator())
    first, second, third = (calls(torch.full((1, 2), float(n)))[0] for n in (1, 2, 3))
    assert [float(one[0, 0]) for one in (first, second, third)] == [2, 4, 6]


def test_captures_are_bounded_in_number_and_in_size():
    device = FaultyAccelerator()
    calls = CapturedCalls(double, device)
    sizes = range(1, captured.MOST_SIZES + 5)
    for batch in batches(*sizes, *sizes, *sizes):
        calls(batch)
    assert device.captured == list(range(1, captured.MOST_SIZES + 1))
    large = CapturedCalls(double, device)
    for batch in batches(*[captured.MOST_ROWS + 1] * 3):
        large(batch)
    assert captured.MOST_ROWS + 1 not in device.captured


def test_what_cannot_be_captured_is_computed_and_not_tried_again():
    device = FaultyAccelerator()
    tries = []
    device.capture = lambda *_: tries.append(1) and None
    calls = CapturedCalls(double, device)
    for batch in batches(3, 3, 3, 3):
        assert torch.equal(calls(batch)[0], batch * 2)
    assert tries == [1]
