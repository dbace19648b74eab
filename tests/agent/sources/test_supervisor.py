"""A source that hangs is named, then replaced, a few times; frames keep their numbers, and late ones do not come."""

import threading

import pytest

from agent.sources.running import DEAD_S, SLOW_S
from agent.sources.sinks import BlockingQueue, Tally
from agent.sources.supervisor import MOST_LEFT_BEHIND, SourceSupervisor
from tests.factories.agent import FakeClock, a_frame
from tests.factories.brokers import wait_until


class Hanging:
    """Puts one frame, then hangs until the test releases it, then tries to put another."""

    health, problem = "playing", None

    def __init__(self, sink, release: threading.Event) -> None:
        self.sink, self.release = sink, release
        self.entered = threading.Event()
        self.late: bool | None = None

    unavailable = False

    def check(self) -> None: ...

    def run(self, stop: threading.Event) -> None:
        assert self.sink.put(a_frame(1), stop)
        self.entered.set()
        self.release.wait(20)
        self.late = self.sink.put(a_frame(2), stop)


class Line:
    def __init__(self) -> None:
        self.release, self.clock, self.made = threading.Event(), FakeClock(), []
        self.sink = BlockingQueue(Tally(), 8)
        self.supervisor = SourceSupervisor("belt", self.build, self.sink, clock=self.clock)

    def build(self, sink) -> Hanging:
        self.made.append(Hanging(sink, self.release))
        return self.made[-1]

    def hang(self, seconds: float) -> None:
        assert self.made[-1].entered.wait(10)
        self.clock.time += seconds


@pytest.fixture
def line():
    line = Line()
    line.supervisor.start()
    yield line
    line.supervisor.stop()
    line.release.set()


def test_a_source_that_hangs_is_named_before_it_is_replaced(line):
    line.hang(SLOW_S)
    assert line.supervisor.problem is None
    line.hang(1)
    line.supervisor.look()
    assert line.supervisor.problem == f"line belt: the source hangs: no progress for {SLOW_S + 1:.0f} s"
    assert len(line.made) == 1


def test_another_takes_its_place_and_goes_on_with_its_numbers(line):
    line.hang(DEAD_S + 1)
    line.supervisor.look()
    assert line.made[1].entered.wait(10)
    assert line.supervisor.problem is None
    assert [line.sink.get(0).seq for _ in range(2)] == [1, 2]
    line.release.set()
    wait_until(lambda: line.made[0].late is not None)
    assert line.made[0].late is False


def test_after_a_few_none_is_started_until_one_that_was_left_behind_ends(line):
    for _ in range(MOST_LEFT_BEHIND):
        assert not line.supervisor.given_up
        line.hang(DEAD_S + 1)
        line.supervisor.look()
    line.hang(DEAD_S + 1)
    line.supervisor.look()
    assert line.supervisor.given_up
    assert len(line.made) == 1 + MOST_LEFT_BEHIND
    assert "hangs" in line.supervisor.problem


def test_stop_does_not_wait_for_a_source_that_hangs(line):
    line.hang(1)
    line.supervisor.stop()
    line.supervisor.join(0.01)
    assert line.supervisor.alive
    line.hang(DEAD_S + 1)
    line.supervisor.look()
    assert len(line.made) == 1
