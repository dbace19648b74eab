"""Batches over several lines."""

import threading

from agent.pipeline.intake import Intake
from agent.sources.sinks import BlockingQueue, NewestSlot, Tally
from tests.factories.agent import a_frame


def test_lines_take_turns_in_a_batch():
    intake = Intake(3)
    stop = threading.Event()
    queue = BlockingQueue(Tally(), 8, intake.notify)
    slot = NewestSlot(Tally(), intake.notify)
    intake.add(queue)
    intake.add(slot)
    assert intake.next_batch(0) == []
    for n in range(5):
        queue.put(a_frame(n), stop)
    slot.put(a_frame(100), stop)
    slot.put(a_frame(101), stop)
    taken = [[f.seq for f in intake.next_batch(0)] for _ in range(3)]
    assert taken == [[0, 101, 1], [2, 3, 4], []]
    assert slot.tally.snapshot().dropped == {"replaced": 1}
