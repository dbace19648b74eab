"""The steps of the handshake, and that nothing but a fresh ok of a line that runs is ever OK."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.plc.signals import MOST_WAITING, LineSignals, with_acknowledgement, with_decision
from fbclip.decision import Decision, Verdict, reject

HOLD = 0.5


def decision(verdict):
    return reject("black") if verdict is Verdict.REJECTED else Decision(verdict, None, 1.0, 1.0, 0.5, 2.0)


def told(signals, verdict, now=0.0):
    return with_decision(signals, decision(verdict), now, HOLD)


def ack(signals, value, now=0.0):
    return with_acknowledgement(signals, value, now, HOLD)


RUNNING = LineSignals(running=True)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_only_ok_is_ok(verdict):
    signals = told(RUNNING, verdict)
    assert signals.ok(1.0) is (verdict is Verdict.OK)
    assert signals.no_verdict is (verdict is Verdict.REJECTED)


def test_a_line_that_does_not_run_or_has_judged_nothing_is_ng_without_a_verdict():
    for signals in (RUNNING, told(LineSignals(), Verdict.OK)):
        assert not signals.ok(1.0) and signals.no_verdict


def test_without_a_handshake_the_newest_is_shown_and_an_ng_stays_for_a_while():
    signals = told(told(RUNNING, Verdict.ANOMALY, 10.0), Verdict.OK, 10.1)
    assert signals.result.number == 2
    assert not signals.ok(10.4) and signals.ok(10.5)


def test_with_a_handshake_each_result_waits_for_its_acknowledgement():
    signals = ack(ack(told(RUNNING, Verdict.OK), True), False)
    assert not signals.done and signals.ready
    for verdict in (Verdict.ANOMALY, Verdict.OK, Verdict.REJECTED):
        signals = told(signals, verdict)
    seen = []
    while signals.done:
        seen.append(signals.result.verdict)
        assert not signals.ready
        signals = ack(signals, True)
        assert not signals.done
        signals = ack(signals, False)
    assert seen == [Verdict.ANOMALY, Verdict.OK, Verdict.REJECTED]
    assert (signals.waiting, signals.lost, signals.result.number) == ((), 0, 4)


def test_a_result_during_the_acknowledgement_of_another_waits():
    signals = ack(told(RUNNING, Verdict.OK), True)
    signals = told(signals, Verdict.ANOMALY)
    assert not signals.done and len(signals.waiting) == 1
    signals = ack(signals, False)
    assert signals.done and signals.result.verdict is Verdict.ANOMALY


def test_without_room_an_ok_goes_before_any_ng():
    signals = ack(ack(told(RUNNING, Verdict.OK), True), False)
    signals = told(signals, Verdict.OK)
    for number in range(MOST_WAITING + 5):
        signals = told(signals, Verdict.ANOMALY if number % 2 else Verdict.OK)
    assert len(signals.waiting) == MOST_WAITING and signals.lost == 5
    assert sum(one.verdict is Verdict.ANOMALY for one in signals.waiting) == (MOST_WAITING + 5) // 2


STEPS = st.lists(
    st.one_of(st.sampled_from(list(Verdict)), st.booleans(), st.just("stopped"), st.just("runs")), max_size=60
)


@given(STEPS)
def test_no_order_of_steps_shows_ok_without_an_ok(steps):
    """`ok` stands only over a result that is ok, on a line that runs; numbers shown never fall."""
    signals, last = LineSignals(), 0
    for now, step in enumerate(steps):
        if isinstance(step, Verdict):
            signals = told(signals, step, now)
        elif isinstance(step, bool):
            signals = ack(signals, step, now)
        else:
            signals = LineSignals(**{**vars(signals), "running": step == "runs"})
        if signals.ok(now):
            assert signals.running and signals.result.verdict is Verdict.OK
        number = 0 if signals.result is None else signals.result.number
        assert number >= last
        last = number
        assert len(signals.waiting) <= MOST_WAITING
