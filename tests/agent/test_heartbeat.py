"""Signs of life: how old the last one is, and who gives one."""

import threading

import pytest

from agent.heartbeat import Heartbeat, RestartBudget, WatchedStop


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time():
    return Time()


def test_silence_is_named_after_a_while_and_given_up_later(time):
    heartbeat = Heartbeat("the detector", 10, 30, time)
    time.now += 10
    assert heartbeat.problem() is None
    time.now += 2
    assert heartbeat.problem() == "the detector hangs: no progress for 12 s"
    assert not heartbeat.dead
    time.now += 19
    assert heartbeat.dead
    heartbeat.beat()
    assert heartbeat.problem() is None
    assert not heartbeat.dead


@pytest.mark.parametrize("look", [lambda stop: stop.is_set(), lambda stop: stop.wait(0)])
def test_looking_at_the_signal_is_a_sign_of_life(time, look):
    heartbeat = Heartbeat("x", 10, 30, time)
    stop = WatchedStop(heartbeat)
    time.now += 40
    assert look(stop) is False
    assert heartbeat.age() == 0
    stop.set()
    assert look(stop) is True


def test_a_long_wait_is_no_silence_and_ends_with_the_signal(time):
    heartbeat = Heartbeat("x", 10, 30, time)
    stop = WatchedStop(heartbeat)
    threading.Timer(0.05, stop.set).start()
    assert stop.wait(30) is True


def test_a_budget_forgets_what_was_long_ago():
    budget = RestartBudget(most=2, window_s=10)
    assert [budget.spend(now) for now in (0, 1, 2, 10.5, 11.5, 12)] == [True, True, False, True, True, False]
