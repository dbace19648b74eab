"""Healthy or not, and why: from a snapshot alone."""

import pytest

from agent.drift.advice import NOT_LOOKED_AT
from agent.health import (
    Backlog,
    HealthSnapshot,
    health_body,
    health_change,
    line_status_body,
    problems_of,
    ready,
)
from agent.line_states import LineHealth, LineState
from agent.records import LineCounters, LineMode


def a_line(name="belt", problem=None, mode=LineMode.LIVE) -> LineHealth:
    counters = LineCounters(grabbed=10, inspected=6, rejected=1, dropped={"replaced": 2})
    state = LineState.RUNNING if problem is None else LineState.FAILING
    return LineHealth(name, mode, problem or "connected", problem, counters, state)


def test_nothing_wrong():
    snapshot = HealthSnapshot((a_line(),), oldest_unacknowledged_s=0.26)
    assert problems_of(snapshot) == ()
    counters = {"grabbed": 10, "inspected": 6, "rejected": 1, "dropped": {"replaced": 2}, "in_flight": 1}
    assert health_body(snapshot) == {
        "healthy": True,
        "problems": [],
        "notes": [],
        "oldest_unacknowledged_s": 0.3,
        "messages_waiting": 0,
        "lines": {"belt": counters},
    }


def test_a_note_makes_nobody_unhealthy():
    body = health_body(HealthSnapshot((a_line(),), notes=("MQTT 3.1.1",)))
    assert (body["healthy"], body["notes"]) == (True, ["MQTT 3.1.1"])


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
        ({"oldest_unacknowledged_s": 40.2}, "the broker has not acknowledged a message for 40 s"),
        ({"backlog": Backlog(12, 75)}, "12 messages wait for the broker, the oldest for 75 s"),
        ({"unmoved": {"belt": 3, "gone": 1}}, "line belt: 3 judged files cannot be moved out of the hot folder"),
        ({"hung": ("the page hangs: no progress for 12 s",)}, "the page hangs: no progress for 12 s"),
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
    assert line_status_body(a_line(mode=mode)) == {
        "state": "running", "health": "connected", "mode": mode.value, "guarantee": None, "drift": NOT_LOOKED_AT.body(),
    }  # fmt: skip
    failing = line_status_body(a_line(problem="line belt: cable cut", mode=mode))
    assert (failing["state"], failing["health"]) == ("failing", "line belt: cable cut")


def test_a_problem_whose_figures_change_is_the_same():
    change = health_change(("line belt: no image for 11 s",), ("line belt: no image for 12 s",))
    assert (change.new, change.recovered) == ((), ())


def test_ready_is_an_agent_that_judges_and_records_on_one_line_at_least():
    failing = a_line("dock", "line dock: cable cut")
    assert ready(HealthSnapshot((a_line(), failing), broker_problem="away"))
    assert not ready(HealthSnapshot((failing,)))
    assert not ready(HealthSnapshot((a_line(),), pipeline_failure="the detector hangs"))
    assert not ready(HealthSnapshot((a_line(),), store_problem="disk full"))
