"""Event life cycle: tables and the property that every `new` has exactly one `end`."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.line import AlertSection
from agent.records import EventKind, EventStep, LineMode, StepType
from agent.rules import LineRules, close_all, step
from fbclip.decision import Verdict
from tests.factories.agent import an_inspection

LETTERS = {"o": Verdict.OK, "a": Verdict.ANOMALY, "u": Verdict.UNCERTAIN, "r": Verdict.REJECTED}
ALL = tuple(EventKind)


def play(frames: str, alert: AlertSection, period: float = 0.1, **changes) -> list[str]:
    """One word a step: frame number, first letter of the kind, type and the end's reason."""
    state, ids, reported = LineRules("belt"), count(), []
    for number, letter in enumerate(frames):
        inspection = an_inspection(LETTERS[letter], number, **changes)
        state, steps = step(state, alert, inspection, number * period, lambda: f"e{next(ids)}")
        reported += [f"{number}{s.kind[0]}-{s.type}" + (f"-{s.reason}" if s.reason else "") for s in steps]
    return reported


@pytest.mark.parametrize(
    ("frames", "alert", "expected"),
    [
        ("oao", {"n": 1, "m": 1, "close_after_ok": 1}, ["1a-new", "2a-end-cleared"]),
        ("aoao", {"n": 2, "m": 3, "close_after_ok": 3}, ["2a-new"]),
        ("aooao", {"n": 2, "m": 3}, []),
        ("araoo", {"n": 2, "m": 2, "close_after_ok": 2}, ["1n-new", "2a-new", "3n-end-cleared", "4a-end-cleared"]),
        ("aorroo", {"close_after_ok": 3, "for": ["anomaly"]}, ["0a-new", "5a-end-cleared"]),
        ("aooaoo", {"close_after_ok": 3}, ["0a-new"]),
        ("uaao", {"for": ALL, "close_after_ok": 1}, ["0u-new", "1a-new", "3a-end-cleared", "3u-end-cleared"]),
        ("uuu", {}, []),
        ("rro", {"n": 5, "m": 5, "close_after_ok": 1}, ["0n-new", "2n-end-cleared"]),
        ("rorao", {"close_after_ok": 2, "for": ["no_verdict"]}, ["0n-new", "4n-end-cleared"]),
    ],
)
def test_live_frames(frames, alert, expected):
    assert play(frames, AlertSection(**alert)) == expected


def test_updates_come_at_most_once_a_second():
    assert play("a" * 25, AlertSection()) == ["0a-new", "10a-update", "20a-update"]


def test_a_stuck_line_ends_and_rearms_by_new_frames():
    reported = play("a" * 8, AlertSection(n=2, m=2, max_open_s=3), period=1)
    assert reported == ["1a-new", "2a-update", "3a-update", "4a-end-max_open", "5a-new", "6a-update", "7a-update"]


def test_discrete_frames_are_episodes_of_their_own():
    alert = AlertSection(n=5, m=9)
    expected = ["0a-new", "0a-end-unit", "2n-new", "2n-end-unit", "3a-new", "3a-end-unit"]
    assert play("aorau", alert, discrete=True) == expected


def test_learning_makes_no_events():
    assert play("arau", AlertSection(**{"for": ALL}), mode=LineMode.LEARNING) == []


alerts = st.builds(
    lambda n, more, ok, most, on: AlertSection(n=n, m=n + more, close_after_ok=ok, max_open_s=most, **{"for": on}),
    st.integers(1, 4),
    st.integers(0, 4),
    st.integers(1, 4),
    st.floats(0.5, 20),
    st.lists(st.sampled_from(ALL), unique=True).map(tuple),
)


@given(alerts, st.lists(st.tuples(st.sampled_from("oaur"), st.booleans(), st.floats(0, 5)), max_size=80))
def test_every_new_has_exactly_one_end_and_one_kind_is_open_once(alert, frames):
    state, ids, now = LineRules("belt"), count(), 0.0
    reported: list[EventStep] = []
    for number, (letter, discrete, wait) in enumerate(frames):
        now += wait
        inspection = an_inspection(LETTERS[letter], number, discrete=discrete)
        state, steps = step(state, alert, inspection, now, lambda: f"e{next(ids)}")
        reported += steps
        for kind in ALL:
            started = {s.event_id for s in reported if s.kind is kind and s.type is StepType.NEW}
            ended = {s.event_id for s in reported if s.kind is kind and s.type is StepType.END}
            assert len(started - ended) == (state.of(kind).event_id is not None)
    state, steps = close_all(state, an_inspection().ts, "shutdown")
    reported += steps
    assert all(state.of(kind).event_id is None for kind in ALL)
    assert all(s.kind in alert.kinds for s in reported)
    for event_id in {s.event_id for s in reported}:
        types = [s.type for s in reported if s.event_id == event_id]
        assert types[0] is StepType.NEW and types[-1] is StepType.END
        assert types.count(StepType.NEW) == types.count(StepType.END) == 1
