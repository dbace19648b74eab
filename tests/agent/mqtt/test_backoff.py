"""Longer each time, never the same, and short again after success."""

from agent.mqtt.backoff import Backoff


def test_delays_double_up_to_the_cap():
    longest = Backoff(1, 15, lambda: 1.0)
    assert [longest.delay() for _ in range(6)] == [1, 2, 4, 8, 15, 15]
    shortest = Backoff(1, 15, lambda: 0.0)
    assert [shortest.delay() for _ in range(6)] == [0.5, 1, 2, 4, 7.5, 7.5]


def test_after_success_it_begins_anew_and_years_of_tries_stay_finite():
    backoff = Backoff(1, 60, lambda: 1.0)
    for _ in range(5000):
        assert backoff.delay() <= 60
    backoff.reset()
    assert backoff.delay() == 1


def test_two_agents_do_not_come_back_together():
    first, second = Backoff(1, 60), Backoff(1, 60)
    assert [first.delay() for _ in range(4)] != [second.delay() for _ in range(4)]
