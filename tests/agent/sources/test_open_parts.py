"""Which part an image belongs to, when the next one is due, and whether images come steadily; pure, by given times."""

from datetime import UTC, datetime

from agent.records import TriggeredPart
from agent.sources.image_flow import PAUSE_S, SETTLE_S, ImageFlow
from agent.sources.interval_timer import IntervalTimer
from agent.sources.open_parts import OpenParts

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_part(number: int, not_before: float = 0.0, due: float = 5.0, frames: int = 1) -> TriggeredPart:
    return TriggeredPart(number, "belt", NOON, 0.0, not_before, due, frames, {})


def test_images_go_to_the_first_part_that_lacks_one():
    parts = OpenParts()
    first, second = a_part(1, frames=2), a_part(2, not_before=2.0)
    parts.add(first)
    parts.add(second)
    assert (len(parts), parts.images, first in parts) == (2, 3, True)
    assert [parts.take(1.0), parts.take(1.1)] == [(first, 1), (first, 2)]
    assert parts.lacking() == [second]
    # Taken before it was asked for, or just then.
    assert parts.take(2.0) is None and parts.take(2.1) == (second, 1) and parts.take(2.2) is None
    assert parts.late(4.9) == [] and parts.late(5.0) == [first, second]
    parts.remove(first)
    parts.remove(first)
    assert parts.all() == [second]


def test_what_is_late_takes_no_image():
    parts = OpenParts()
    late, next_one = a_part(1, due=1.0), a_part(2)
    parts.add(late)
    parts.add(next_one)
    assert parts.take(1.5) == (next_one, 1)


def test_missed_intervals_are_not_made_up_for():
    timer = IntervalTimer()
    timer.begin(10.0)
    assert timer.has_come(10.0, 2.0) and not timer.has_come(11.9, 2.0)
    assert timer.has_come(12.1, 2.0) and timer.next == 14.0
    assert timer.has_come(20.0, 2.0) and timer.next == 22.0


def test_images_after_a_pause_are_not_trusted_at_once():
    flow = ImageFlow()
    assert all(flow.is_steady(at / 10) for at in range(10))
    back = 0.9 + PAUSE_S + 0.1
    assert not flow.is_steady(back) and not flow.is_steady(back + SETTLE_S - 0.01)
    assert flow.is_steady(back + SETTLE_S)
    # A camera of one image in two seconds has no pauses.
    slow = ImageFlow()
    assert [slow.is_steady(at) for at in (0.0, 2.0, 4.0, 6.0)] == [True, False, True, True]
