"""Healthy or not, and why: from a snapshot alone."""

import pytest

from agent.health import HealthSnapshot, LineHealth, health_body, health_change, line_status_body, problems_of
from agent.records import LineCounters, LineMode


def a_line(name="belt", problem=None, mode=LineMode.LIVE) -> LineHealth:
    counters = LineCounters(grabbed=10, inspected=6, rejected=1, dropped={"replaced": 2})
    return LineHealth(name, mode, problem or "connected", problem, counters)


def test_nothing_wrong():
    snapshot = HealthSnapshot((a_line(),), oldest_unacknowledged_s=0.26)
    assert problems_of(snapshot) == ()
    counters = {"grabbed": 10, "inspected": 6, "rejected": 1, "dropped": {"replaced": 2}, "in_flight": 1}
    assert health_body(snapshot) == {
        "healthy": True,
        "problems": [],
        "oldest_unacknowledged_s": 0.3,
        "lines": {"belt": counters},
    }


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"lines": (a_line(), a_line("dock", "line dock: cable cut"))}, "line dock: cable cut"),
        ({"broker_problem": "host:1883: cannot be reached"}, "host:1883: cannot be reached"),
        ({"sender_alive": False}, "the sender thread ended"),
        ({"store_problem": "disk full"}, "disk full"),
        ({"pipeline_failure": "detector: ValueError: x"}, "detector: ValueError: x"),
        ({"evidence_problem": "evidence images are not kept"}, "evidence images are not kept"),
        ({"keeper_problems": ("the database was damaged",)}, "the database was damaged"),
    ],
)
def test_each_part_can_be_the_reason(change, problem):
    snapshot = HealthSnapshot(**({"lines": (a_line(),)} | change))
    assert problems_of(snapshot) == (problem,)
    body = health_body(snapshot)
    assert (body["healthy"], body["problems"]) == (False, [problem])


def test_problems_come_in_the_order_of_data_flow():
    snapshot = HealthSnapshot((a_line("belt", "a"), a_line("dock", "b")), "c", False, "d", "e", "f", ("g",))
    assert problems_of(snapshot) == (
        "a", "b", "c", "the sender thread ended", "d", "g", "e", "f",
    )  # fmt: skip


def test_what_is_new_and_what_has_recovered():
    change = health_change(("disk full", "b", "a"), ("b", "d", "c"))
    assert (change.new, change.recovered) == (("c", "d"), ("a", "disk full"))


@pytest.mark.parametrize("mode", LineMode)
def test_the_status_of_a_line_names_its_mode(mode):
    assert line_status_body(a_line(mode=mode)) == {"state": "running", "health": "connected", "mode": mode.value}
    failing = line_status_body(a_line(problem="line belt: cable cut", mode=mode))
    assert failing == {"state": "failing", "health": "line belt: cable cut", "mode": mode.value}
