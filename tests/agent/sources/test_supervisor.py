"""A source that fails is started again, later each time; one that ends by itself is not."""

import threading

import pytest

from agent.errors import SourceError, StoreError
from agent.sources.supervisor import FIRST_RETRY_S, LONGEST_RETRY_S, SourceSupervisor
from tests.factories.agent import FakeClock, KeepingSink


class Faulty:
    """Each run raises the next of `faults`; None ends the run normally."""

    def __init__(self, *faults: Exception | None) -> None:
        self.faults = list(faults)
        self.health = "playing"

    def check(self) -> None: ...

    def run(self, stop: threading.Event) -> None:
        fault = self.faults.pop(0)
        if fault is not None:
            raise fault


def supervise(source: Faulty, stop: threading.Event | None = None, jitter: float = 0.5, clock=None):
    return SourceSupervisor("belt", source, KeepingSink(), stop or threading.Event(), clock, lambda: jitter)


def test_the_pause_doubles_up_to_its_limit():
    supervisor = supervise(Faulty(*[SourceError("gone")] * 8))
    pauses = [supervisor.step() for _ in range(8)]
    assert pauses == [1, 2, 4, 8, 16, LONGEST_RETRY_S, LONGEST_RETRY_S, LONGEST_RETRY_S]


@pytest.mark.parametrize(("jitter", "factor"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_lines_do_not_come_back_in_step(jitter, factor):
    assert supervise(Faulty(SourceError("gone")), jitter=jitter).step() == pytest.approx(FIRST_RETRY_S * factor)


def test_what_failed_is_reported_until_it_runs_again():
    supervisor = supervise(Faulty(SourceError("line belt: cable cut"), RuntimeError("user:s3cret@cam"), None))
    supervisor.step()
    assert supervisor.problem == supervisor.health == "line belt: cable cut"
    supervisor.step()
    # What an unforeseen error says may hold anything: only its kind is for people.
    assert supervisor.problem == "line belt: RuntimeError"
    assert supervisor.step() is None
    assert supervisor.problem is None
    assert supervisor.health == "playing"


def test_after_stop_nothing_is_started():
    stop = threading.Event()
    stop.set()
    source = Faulty(None)
    assert supervise(source, stop).step() is None
    assert len(source.faults) == 1


def test_the_thread_waits_out_each_pause_and_ends_with_the_source():
    clock = FakeClock()
    supervisor = supervise(Faulty(SourceError("gone"), SourceError("gone"), None), clock=clock)
    supervisor.start()
    supervisor.join(10)
    assert not supervisor.alive
    assert clock.waits == [1, 2]


def test_a_store_that_refuses_is_one_line_and_no_traceback(caplog):
    supervisor = supervise(Faulty(StoreError("agent.db: database is locked")))
    assert supervisor.step() is not None
    assert supervisor.problem == "line belt: agent.db: database is locked"
    assert [record.exc_info for record in caplog.records] == [None]
