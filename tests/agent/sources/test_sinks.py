"""No frame leaves the books: grabbed = inspected + rejected + dropped + in flight."""

import threading
from dataclasses import replace

import numpy as np

from agent.records import Frame
from agent.sources.base import SystemClock
from agent.sources.sinks import BlockingQueue, NewestSlot, Tally
from tests.factories.agent import a_frame


def frame(seq):
    return Frame("a", seq, SystemClock().now(), 0.0, None)


def test_the_newest_frame_wins_and_the_others_are_counted():
    hints = []
    slot = NewestSlot(Tally(), lambda: hints.append(1))
    stop = threading.Event()
    for seq in range(3):
        assert slot.put(frame(seq), stop)
    assert slot.get(0).seq == 2
    assert slot.get(0) is None
    counters = slot.tally.snapshot()
    assert (counters.grabbed, counters.dropped, counters.in_flight) == (3, {"replaced": 2}, 1)
    assert len(hints) == 3


def test_large_images_fill_a_queue_by_their_bytes_and_one_always_fits():
    queue, stop = BlockingQueue(Tally(), most_bytes=1000), threading.Event()
    large, small = (replace(frame(1), image=np.zeros((side, 10, 3), np.uint8)) for side in (40, 20))
    assert queue.put(large, stop)
    stopped = threading.Event()
    threading.Timer(0.1, stopped.set).start()
    assert not queue.put(small, stopped)
    assert queue.get(0) is large and queue.put(small, stop)
    assert queue.discard("shutdown") == 1 and queue.put(large, stop)


def test_a_full_queue_makes_the_source_wait():
    queue = BlockingQueue(Tally(), capacity=2)
    stop = threading.Event()
    seen = []
    producer = threading.Thread(target=lambda: [queue.put(frame(n), stop) for n in range(20)])
    producer.start()
    while len(seen) < 20:
        seen.append(queue.get(5).seq)
        assert queue.tally.snapshot().in_flight <= 2 + len(seen)
    producer.join(5)
    assert seen == list(range(20))
    assert queue.tally.snapshot().dropped == {}


def test_stop_frees_a_source_that_waits_and_its_frame_is_not_counted():
    queue = BlockingQueue(Tally(), capacity=1)
    stop = threading.Event()
    assert queue.put(frame(1), stop)
    answers = []
    producer = threading.Thread(target=lambda: answers.append(queue.put(frame(2), stop)))
    producer.start()
    stop.set()
    producer.join(5)
    assert answers == [False]
    assert queue.tally.snapshot().grabbed == 1
    assert queue.discard("shutdown") == 1
    assert queue.tally.snapshot().in_flight == 0


def test_the_books_balance_at_every_moment():
    slot = NewestSlot(Tally())
    stop, ended = threading.Event(), threading.Event()

    def consume():
        while not ended.is_set() or slot.tally.snapshot().in_flight:
            if slot.get(0.01) is not None:
                slot.tally.inspected()

    consumer = threading.Thread(target=consume)
    consumer.start()
    for seq in range(2000):
        slot.put(frame(seq), stop)
        assert 0 <= slot.tally.snapshot().in_flight <= 2
    ended.set()
    consumer.join(5)
    counters = slot.tally.snapshot()
    assert counters.grabbed == 2000 == counters.inspected + counters.dropped.get("replaced", 0)


def test_a_frame_that_waited_too_long_is_stale_and_news_of_a_loss_is_not():
    now = [10.0]
    slot, never = NewestSlot(Tally(), monotonic=lambda: now[0]), threading.Event()
    slot.put(replace(a_frame(1), expires=12.0), never)
    slot.put(replace(a_frame(2), expires=15.0), never)
    now[0] = 15.0
    assert slot.get(0).seq == 2
    slot.put(replace(a_frame(3), expires=15.0), never)
    now[0] = 15.1
    assert slot.get(0) is None
    slot.put(a_frame(4, reason="camera_lost"), never)
    now[0] = 1000.0
    assert slot.get(0).seq == 4
    counters = slot.tally.snapshot()
    assert (counters.grabbed, counters.dropped, counters.in_flight) == (4, {"replaced": 1, "stale": 1}, 2)
