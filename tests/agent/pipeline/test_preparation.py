"""A batch is prepared by several threads, and comes out as a single one would have prepared it."""

import threading

import numpy as np
import torch

from agent.pipeline.preparation import Preparation, Ready, Unfit
from tests.factories.agent import a_frame
from tests.factories.lines import a_line, a_profile


def image(number):
    return np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def test_a_batch_is_the_same_as_its_frames_one_by_one(detector):
    lines = {"belt": a_line(detector, a_profile(detector))}
    black = np.zeros((48, 64, 3), np.uint8)
    frames = [a_frame(n, image=black if n % 5 == 0 else image(n)) for n in range(1, 17)]
    together = Preparation().of(detector, frames, lines)
    alone = Preparation()
    for one, frame in zip(together, frames, strict=True):
        (other,) = alone.of(detector, [frame], lines)
        assert type(one) is type(other) is (Unfit if frame.seq % 5 == 0 else Ready)
        if isinstance(one, Ready):
            assert torch.equal(one.job.tiles, other.job.tiles)
        else:
            assert one.decision == other.decision


def test_pictures_are_prepared_side_by_side(detector, monkeypatch):
    monkeypatch.setattr("agent.pipeline.preparation.cores", lambda: 2)
    both = threading.Barrier(2, timeout=10)
    frame = type(detector).frame

    def meeting(self, *given):
        both.wait()
        return frame(self, *given)

    monkeypatch.setattr(type(detector), "frame", meeting)
    lines = {"belt": a_line(detector, a_profile(detector))}
    found = Preparation().of(detector, [a_frame(n, image=image(n)) for n in (1, 2)], lines)
    assert all(isinstance(one, Ready) for one in found)


def test_a_black_picture_is_black_also_where_it_repeats(detector):
    lines = {"belt": a_line(detector, a_profile(detector))}
    black = np.zeros((48, 64, 3), np.uint8)
    found = Preparation().of(detector, [a_frame(n, image=black) for n in (1, 2)], lines)
    assert [one.decision.reason for one in found] == ["black", "black"]
