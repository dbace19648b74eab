"""The life of an event on a line: new -> update -> end, as pure steps over frozen state.

At most one event is open per line and kind. Live frames open `anomaly` and `uncertain` by N of the last M
judged frames; a rejected live frame opens `no_verdict` at once. Discrete frames are episodes of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from agent.config.line import AlertSection
from agent.records import EventKind, EventStep, Inspection, LineMode, StepType
from fbclip.decision import Verdict

UPDATE_PERIOD_S = 1.0
KIND_OF = {
    Verdict.ANOMALY: EventKind.ANOMALY,
    Verdict.UNCERTAIN: EventKind.UNCERTAIN,
    Verdict.REJECTED: EventKind.NO_VERDICT,
}


@dataclass(frozen=True)
class KindState:
    """One kind on one line. `opened` and `updated` are monotonic seconds and mean something while `event_id` is set.

    `hits` says of the last M judged frames whether they had this verdict; `clear` counts consecutive clear frames.
    """

    event_id: str | None = None
    opened: float = 0.0
    updated: float = 0.0
    clear: int = 0
    hits: tuple[bool, ...] = ()


@dataclass(frozen=True)
class LineRules:
    """Everything the rules remember of one line."""

    line: str
    anomaly: KindState = KindState()
    uncertain: KindState = KindState()
    no_verdict: KindState = KindState()

    def of(self, kind: EventKind) -> KindState:
        """The state of one kind."""
        states = {
            EventKind.ANOMALY: self.anomaly,
            EventKind.UNCERTAIN: self.uncertain,
            EventKind.NO_VERDICT: self.no_verdict,
        }
        return states[kind]

    def with_state(self, kind: EventKind, state: KindState) -> LineRules:
        """This line with the state of one kind replaced."""
        if kind is EventKind.ANOMALY:
            return replace(self, anomaly=state)
        if kind is EventKind.UNCERTAIN:
            return replace(self, uncertain=state)
        return replace(self, no_verdict=state)


def step(
    state: LineRules, alert: AlertSection, inspection: Inspection, now: float, new_id: Callable[[], str]
) -> tuple[LineRules, tuple[EventStep, ...]]:
    """The next state and what happened to events. `now` is monotonic seconds; `new_id` makes event ids."""
    if inspection.mode is LineMode.LEARNING:
        return state, ()
    if inspection.discrete:
        unit = _unit(state.line, alert, inspection, new_id)
        state, ends = _cleared_by_unit(state, alert, inspection, now, new_id)
        return state, (*unit, *ends)
    steps: list[EventStep] = []
    for kind in EventKind:
        if kind in alert.kinds:
            after, happened = _advance(state.of(kind), kind, state.line, alert, inspection, now, new_id)
            state = state.with_state(kind, after)
            steps += happened
    return state, tuple(steps)


def close_all(state: LineRules, ts: datetime, reason: str) -> tuple[LineRules, tuple[EventStep, ...]]:
    """End every open event, as at shutdown; what the windows saw is forgotten."""
    steps = tuple(
        EventStep(event_id, kind, StepType.END, state.line, ts, reason)
        for kind in EventKind
        if (event_id := state.of(kind).event_id) is not None
    )
    return LineRules(state.line), steps


def _unit(line: str, alert: AlertSection, inspection: Inspection, new_id: Callable[[], str]) -> tuple[EventStep, ...]:
    kind = KIND_OF.get(inspection.decision.verdict)
    if kind is None or kind not in alert.kinds:
        return ()
    event_id = new_id()
    return (
        EventStep(event_id, kind, StepType.NEW, line, inspection.ts),
        EventStep(event_id, kind, StepType.END, line, inspection.ts, "unit"),
    )


def _cleared_by_unit(
    state: LineRules, alert: AlertSection, inspection: Inspection, now: float, new_id: Callable[[], str]
) -> tuple[LineRules, list[EventStep]]:
    """What live frames have opened, as a camera that was lost, units with a verdict bring to its end."""
    steps: list[EventStep] = []
    for kind in EventKind:
        verdict = inspection.decision.verdict
        if state.of(kind).event_id is not None and _clears(kind, verdict):
            after, happened = _advance(state.of(kind), kind, state.line, alert, inspection, now, new_id)
            state = state.with_state(kind, after)
            steps += happened
    return state, steps


def _advance(
    state: KindState,
    kind: EventKind,
    line: str,
    alert: AlertSection,
    inspection: Inspection,
    now: float,
    new_id: Callable[[], str],
) -> tuple[KindState, list[EventStep]]:
    """One kind, one live frame."""
    verdict = inspection.decision.verdict
    hit = KIND_OF.get(verdict) is kind
    steps: list[EventStep] = []

    def add(event_id: str, what: StepType, reason: str | None = None) -> None:
        steps.append(EventStep(event_id, kind, what, line, inspection.ts, reason))

    event_id = state.event_id

    if event_id is not None:
        clear = 0 if _holds(kind, verdict) else state.clear + _clears(kind, verdict)
        state = replace(state, clear=clear)
        if clear >= alert.close_after_ok:
            add(event_id, StepType.END, "cleared")
            event_id, state = None, KindState(hits=state.hits)
        elif now - state.opened >= alert.max_open_s:
            # What opened it is spent: a stuck line re-alarms only on frames from here on.
            add(event_id, StepType.END, "max_open")
            event_id, state = None, KindState()
    if verdict is not Verdict.REJECTED:
        state = replace(state, hits=(*state.hits, hit)[-alert.m :])
    if not hit:
        return state, steps
    if event_id is None:
        if kind is EventKind.NO_VERDICT or sum(state.hits) >= alert.n:
            event_id = new_id()
            add(event_id, StepType.NEW)
            state = replace(state, event_id=event_id, opened=now, updated=now, clear=0)
    elif now - state.updated >= UPDATE_PERIOD_S:
        add(event_id, StepType.UPDATE)
        state = replace(state, updated=now)
    return state, steps


def _holds(kind: EventKind, verdict: Verdict) -> bool:
    """Whether a frame keeps an open event of this kind from clearing; worse than uncertain is not clear."""
    return KIND_OF.get(verdict) is kind or (kind is EventKind.UNCERTAIN and verdict is Verdict.ANOMALY)


def _clears(kind: EventKind, verdict: Verdict) -> bool:
    """Whether a frame counts towards clearing: rejected frames say nothing of the part."""
    return verdict is not Verdict.REJECTED and not _holds(kind, verdict)
