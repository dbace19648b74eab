"""The gate of a triggered line: which image is whose, who is refused, and where each image went."""

import itertools
import threading
from dataclasses import replace

import numpy as np
import pytest

from agent.config.line import LineSection
from agent.records import TriggerCounts
from agent.sources.sinks import Tally
from agent.sources.trigger_gate import MOST_REFUSED, TriggerGate
from tests.factories.agent import FakeClock, a_frame

STOP = threading.Event()
IMAGE = np.zeros((2, 2, 3), np.uint8)


def a_section(**source) -> LineSection:
    values = {"type": "camera", "device": 0, "trigger": "mqtt"} | source
    return LineSection(name="belt", source=values, profile="p.yaml")


class Gate:
    """An open gate at 100 s, with frames as they are grabbed."""

    def __init__(self, **source) -> None:
        self.clock, self.tally, self.knocks = FakeClock(), Tally(), 0
        self.numbers = itertools.count(1)
        self.gate = TriggerGate(a_section(**source), self.tally, self.numbers, knock=self._knock, clock=self.clock)
        self.gate.use(self.gate.section)

    def _knock(self) -> None:
        self.knocks += 1

    def ask(self, part=1, frames=None):
        return self.gate.ask({"part": part}, frames)

    def grab(self, at=None, image=IMAGE) -> None:
        taken = self.clock.time if at is None else at
        frame = replace(a_frame(next(self.numbers), image=image), monotonic=taken)
        assert self.gate.put(frame, STOP)

    def taken(self):
        """What the detector would get: the parts of the images."""
        found = []
        while (frame := self.gate.get(0)) is not None:
            found.append(None if frame.context is None else (frame.context["part"], frame.context["frame"]))
        return found

    def refusals(self):
        return [(one.part.context["part"], one.reason) for one in self.gate.due()]


def dropped(tally):
    return tally.snapshot().dropped


def test_an_image_belongs_to_the_first_trigger_before_it_and_others_are_let_go():
    gate = Gate()
    gate.grab()
    gate.clock.time = 101
    assert gate.ask("a") is None
    assert gate.ask("b") is None
    # Grabbed before the triggers, and come late.
    gate.grab(at=100.9)
    gate.grab(at=101.0)
    assert gate.taken() == []
    gate.grab(at=101.1)
    gate.grab(at=101.2)
    gate.grab(at=101.3)
    assert gate.taken() == [("a", 1), ("b", 1)]
    counters = gate.tally.snapshot()
    assert counters.grabbed == 6
    assert counters.dropped == {"not_triggered": 4}
    assert counters.in_flight == 2


def test_an_image_let_through_is_a_unit_of_its_own_with_the_context_of_its_part():
    gate = Gate(frames=2)
    gate.ask({"serial": 5})
    for at in (100.1, 100.2, 100.3):
        gate.grab(at=at)
    frames = [gate.gate.get(0), gate.gate.get(0)]
    assert all(frame.discrete for frame in frames)
    assert [frame.context for frame in frames] == [
        {"part": {"serial": 5}, "frame": 1, "frames": 2},
        {"part": {"serial": 5}, "frame": 2, "frames": 2},
    ]
    assert frames[0].part is frames[1].part
    assert gate.gate.get(0) is None


def test_a_trigger_may_want_more_images_and_later_ones():
    gate = Gate(delay_s=0.5)
    gate.ask("a", frames=2)
    for at in (100.1, 100.5, 100.6, 100.7, 100.8):
        gate.grab(at=at)
    assert gate.taken() == [("a", 1), ("a", 2)]
    assert dropped(gate.tally) == {"not_triggered": 3}


def test_a_full_queue_refuses_at_once_until_an_answer_makes_room():
    gate = Gate(queue=2)
    assert [gate.ask(part) for part in "abc"] == [None, None, "busy"]
    assert gate.gate.seconds_to_due(9) == 0
    assert gate.refusals() == [("c", "busy")]
    gate.grab(at=100.1)
    frame = gate.gate.get(0)
    # Being judged is not being answered.
    assert gate.ask("d") == "busy"
    gate.gate.answered(frame.part, None)
    assert gate.ask("e") is None


def test_images_in_memory_are_bounded_too():
    gate = Gate(queue=8)
    assert [gate.ask(n, frames=16) for n in range(5)] == [None] * 4 + ["busy"]


def test_a_part_without_its_images_in_time_is_refused_and_its_images_are_let_go():
    gate = Gate(answer_s=2, frames=2)
    gate.ask("a")
    gate.grab(at=101.2)
    gate.clock.time = 101.5
    gate.ask("b")
    assert gate.gate.seconds_to_due(9) == pytest.approx(0.5)
    assert gate.refusals() == []
    gate.clock.time = 102.0
    # An image after the deadline is for the next part.
    gate.grab(at=102.0)
    assert gate.refusals() == [("a", "timeout")]
    assert gate.taken() == [("b", 1)]
    assert dropped(gate.tally) == {"timeout": 1}
    assert gate.refusals() == []


def test_a_part_that_is_being_judged_times_out_as_well():
    gate = Gate(answer_s=1)
    gate.ask("a")
    gate.grab(at=100.1)
    part = gate.gate.get(0).part
    assert gate.gate.is_open(part)
    gate.clock.time = 101.0
    assert gate.refusals() == [("a", "timeout")]
    assert not gate.gate.is_open(part)


def test_a_lost_camera_is_told_of_and_takes_no_part():
    gate = Gate()
    gate.ask("a")
    gate.grab(image=None)
    gate.grab(image=None)
    gate.grab(at=100.1)
    first, second = gate.gate.get(0), gate.gate.get(0)
    assert (first.part, first.discrete) == (None, False)
    assert second.context["part"] == "a"
    assert dropped(gate.tally) == {"replaced": 1}


def test_what_a_stalled_stream_still_had_is_not_taken_for_new():
    gate = Gate(answer_s=60)
    gate.grab(at=99.9)
    gate.clock.time = 103
    gate.ask("a")
    # The decoder gives what it had, all at once.
    gate.grab(at=105.0)
    gate.grab(at=105.01)
    assert gate.taken() == []
    gate.grab(at=105.6)
    assert gate.taken() == [("a", 1)]
    assert dropped(gate.tally) == {"not_triggered": 1, "after_pause": 2}


def test_a_camera_that_is_always_slow_has_no_pauses():
    gate = Gate(answer_s=60)
    gate.grab(at=100)
    gate.grab(at=104)
    gate.clock.time = 105
    gate.ask("a")
    gate.grab(at=108)
    assert gate.taken() == [("a", 1)]


def test_a_shut_gate_refuses_what_lacks_images_and_lets_the_rest_be_judged():
    gate = Gate()
    gate.ask("a")
    gate.ask("b")
    gate.grab(at=100.1)
    gate.gate.shut("line_off")
    assert gate.ask("c") == "line_off"
    assert gate.refusals() == [("b", "line_off"), ("c", "line_off")]
    assert gate.taken() == [("a", 1)]
    gate.grab(at=100.2)
    assert dropped(gate.tally) == {"not_triggered": 1}
    gate.gate.give_up_all("shutdown")
    assert gate.refusals() == [("a", "shutdown")]
    gate.gate.use(gate.gate.section)
    assert gate.ask("d") is None


def test_counts_say_where_each_trigger_is():
    gate = Gate(queue=1)
    for part in "abc":
        gate.ask(part)
    assert gate.gate.waiting == 3
    for refusal in gate.gate.due():
        gate.gate.answered(refusal.part, refusal.reason)
    gate.clock.time += 10
    for refusal in gate.gate.due():
        gate.gate.answered(refusal.part, refusal.reason)
    assert gate.gate.counts == TriggerCounts(received=3, answered=3, busy=2, timeout=1)
    assert gate.gate.waiting == 0


def test_refusals_that_nobody_writes_are_bounded_and_counted():
    gate = Gate(queue=1)
    answers = [gate.ask(n) for n in range(MOST_REFUSED + 3)]
    assert answers[:2] == [None, "busy"]
    assert answers[-2:] == ["lost", "lost"]
    assert gate.gate.counts.lost == 2


def test_what_stands_for_an_image_is_counted_and_numbered_as_one():
    gate = Gate(queue=1)
    gate.ask("a")
    gate.ask("b")
    (refusal,) = gate.gate.due()
    gate.grab()
    frame = gate.gate.unseen(refusal)
    assert (frame.image, frame.reason, frame.seq, frame.discrete) == (None, "busy", 2, True)
    assert frame.context == {"part": "b", "frames": 1}
    assert gate.tally.snapshot().grabbed == 2


def test_an_interval_asks_by_itself_and_waits_for_the_one_before():
    gate = Gate(trigger="interval", interval_s=2)
    assert gate.gate.due() == []
    gate.clock.time = 101
    assert gate.gate.seconds_to_due(9) == pytest.approx(1)
    gate.grab()
    gate.grab(at=101.5)
    assert gate.taken() == [(None, 1)]
    gate.clock.time = 102.5
    gate.gate.due()
    gate.grab(at=102.6)
    # The first is not answered yet.
    assert gate.taken() == []
    assert gate.gate.counts.received == 1


def test_missed_intervals_are_not_made_up_for_and_a_lost_camera_is_not_asked():
    gate = Gate(trigger="interval", interval_s=1, answer_s=100)
    gate.grab(image=None)
    gate.gate.due()
    assert gate.gate.counts.received == 0
    gate.clock.time = 150
    gate.grab()
    gate.gate.due()
    gate.gate.due()
    assert gate.gate.counts.received == 1
    assert gate.gate.seconds_to_due(9) == pytest.approx(1)
