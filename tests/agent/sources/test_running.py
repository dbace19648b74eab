"""A source that fails is started again, later each time; one that ends by itself is not."""

import threading

import pytest

from agent.errors import SourceError, StoreError
from agent.sources.running import FIRST_RETRY_S, LONGEST_RETRY_S, RunningSource
from tests.factories.agent import FakeClock


class Faulty:
    """Each run raises the next of `faults`; None ends the run normally."""

    def __init__(self, *faults: Exception | None) -> None:
        self.faults = list(faults)
        self.health = "playing"
        self.problem: str | None = None

    unavailable = False

    def check(self) -> None: ...

    def run(self, stop: threading.Event) -> None:
        fault = self.faults.pop(0)
        if fault is not None:
            raise fault


def running(source: Faulty, jitter: float = 0.5, clock=None):
    return RunningSource("belt", source, clock, lambda: jitter)


def test_the_pause_doubles_up_to_its_limit():
    run = running(Faulty(*[SourceError("gone")] * 8))
    pauses = [run.step() for _ in range(8)]
    assert pauses == [1, 2, 4, 8, 16, LONGEST_RETRY_S, LONGEST_RETRY_S, LONGEST_RETRY_S]


@pytest.mark.parametrize(("jitter", "factor"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_lines_do_not_come_back_in_step(jitter, factor):
    assert running(Faulty(SourceError("gone")), jitter=jitter).step() == pytest.approx(FIRST_RETRY_S * factor)


def test_what_failed_is_reported_until_it_runs_again():
    run = running(Faulty(SourceError("line belt: cable cut"), RuntimeError("user:s3cret@cam"), None))
    run.step()
    assert run.problem == run.failure == run.health == "line belt: cable cut"
    run.step()
    # What an unforeseen error says may hold anything: only its kind is for people.
    assert run.problem == "line belt: RuntimeError"
    assert run.step() is None
    assert run.problem is None
    assert run.health == "playing"


def test_after_stop_nothing_is_started():
    source = Faulty(None)
    run = running(source)
    run.stop()
    assert run.step() is None
    assert len(source.faults) == 1


def test_a_failure_that_lasts_is_logged_once(caplog):
    run = running(Faulty(*[SourceError("gone")] * 5, SourceError("other")))
    for _ in range(6):
        run.step()
    assert [record.message for record in caplog.records] == ["gone", "other"]


def test_a_store_that_refuses_is_named_without_a_stack(caplog):
    run = running(Faulty(StoreError("var/agent.db: locked")))
    run.step()
    assert run.problem == "line belt: var/agent.db: locked"
    assert caplog.records[0].exc_info is None


def test_what_the_source_says_of_itself_is_a_problem_of_its_line():
    source = Faulty(None)
    source.problem = "folder cannot be read: gone"
    assert running(source).problem == "line belt: folder cannot be read: gone"


def test_the_thread_waits_out_each_pause_and_ends_with_the_source():
    clock = FakeClock()
    run = running(Faulty(SourceError("gone"), SourceError("off"), None), clock=clock)
    run.start()
    run.join(10)
    assert not run.alive
    assert clock.waits == [1, 2]
