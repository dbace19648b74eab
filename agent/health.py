"""Is the agent healthy, and why not: pure answers from a snapshot of its parts, and the probe that takes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from agent.heartbeat import Heartbeat
from agent.line_states import LineHealth, LineState
from agent.lineup import Lineup
from agent.mqtt.sender import Sender
from agent.pipeline.drift_watch import DriftWatch
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.recorder import Recorder
from agent.pipeline.workers import Pipeline
from agent.store.keeper import StoreKeeper

# What an agent that keeps up never reaches.
UNACKNOWLEDGED_S = 30.0
BACKLOG_S = 60.0


@dataclass(frozen=True)
class Backlog:
    """Messages that wait in the outbox, and for how long the oldest of them has."""

    messages: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True)
class HealthSnapshot:
    """All parts at one moment; a problem is one line without secrets, None where there is none.

    `evidence_failures`: of the last minute. `hung`: threads other than those of sources and pipeline.
    `unmoved`: line -> judged files that could not leave its hot folder. `notes`: what to know of a healthy agent.
    """

    lines: tuple[LineHealth, ...]
    broker_problem: str | None = None
    sender_alive: bool = True
    store_problem: str | None = None
    pipeline_failure: str | None = None
    evidence_problem: str | None = None
    keeper_problems: tuple[str, ...] = ()
    oldest_unacknowledged_s: float = 0.0
    hung: tuple[str, ...] = ()
    backlog: Backlog = Backlog()
    unmoved: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    plc_problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class HealthChange:
    """What differs between two looks, in alphabetical order."""

    new: tuple[str, ...]
    recovered: tuple[str, ...]


def problems_of(snapshot: HealthSnapshot) -> tuple[str, ...]:
    """Why the agent is not healthy, one line each; empty if it is."""
    found = [line.problem for line in snapshot.lines]
    names = {line.name for line in snapshot.lines}
    found += [
        f"line {line}: {count} judged files cannot be moved out of the hot folder"
        for line, count in snapshot.unmoved.items()
        if line in names
    ]
    found += [snapshot.broker_problem, None if snapshot.sender_alive else "the sender thread ended"]
    if snapshot.oldest_unacknowledged_s > UNACKNOWLEDGED_S:
        found.append(f"the broker has not acknowledged a message for {snapshot.oldest_unacknowledged_s:.0f} s")
    backlog = snapshot.backlog
    if backlog.oldest_s > BACKLOG_S:
        found.append(f"{backlog.messages} messages wait for the broker, the oldest for {backlog.oldest_s:.0f} s")
    found += [snapshot.store_problem, *snapshot.keeper_problems, snapshot.pipeline_failure, snapshot.evidence_problem]
    found += [*snapshot.hung, *snapshot.plc_problems]
    return tuple(text for text in found if text is not None)


def ready(snapshot: HealthSnapshot) -> bool:
    """Whether frames are judged and recorded now, on one line at least."""
    works = any(line.state is LineState.RUNNING for line in snapshot.lines)
    return works and snapshot.pipeline_failure is None and snapshot.store_problem is None


_FIGURES = re.compile(r"\d+(\.\d+)?")


def without_figures(problem: str) -> str:
    """The problem without its ages and counts, which change each second while it stays the same one."""
    return _FIGURES.sub("N", problem)


def health_change(before: Collection[str], now: Collection[str]) -> HealthChange:
    """Which problems are new and which are gone; one whose figures alone differ is the same."""
    old, new = ({without_figures(text): text for text in texts} for texts in (before, now))
    return HealthChange(
        tuple(sorted(text for key, text in new.items() if key not in old)),
        tuple(sorted(text for key, text in old.items() if key not in new)),
    )


def health_body(snapshot: HealthSnapshot) -> dict[str, Any]:
    """The agent's retained health."""
    problems = problems_of(snapshot)
    return {
        "healthy": not problems,
        "problems": list(problems),
        "notes": list(snapshot.notes),
        "oldest_unacknowledged_s": round(snapshot.oldest_unacknowledged_s, 1),
        "messages_waiting": snapshot.backlog.messages,
        "lines": {line.name: _counters_body(line) for line in snapshot.lines},
    }


def line_status_body(line: LineHealth) -> dict[str, Any]:
    """A line's retained status. It is published in every mode and therefore names it."""
    return {
        "state": line.state.value,
        "health": line.health,
        "mode": line.mode.value,
        "guarantee": line.guarantee,
        "drift": line.drift.body(),
    }


def _counters_body(line: LineHealth) -> dict[str, Any]:
    counters = line.counters
    triggers = {} if line.triggers is None else {"triggers": asdict(line.triggers)}
    return {
        "grabbed": counters.grabbed,
        "inspected": counters.inspected,
        "rejected": counters.rejected,
        "dropped": counters.dropped,
        "in_flight": counters.in_flight,
    } | triggers


class HealthProbe:
    """Looks at the parts without waiting for any of them; any thread may ask."""

    def __init__(
        self,
        *,
        lineup: Lineup,
        sender: Sender,
        recorder: Recorder,
        pipeline: Pipeline,
        evidence: EvidenceWriter,
        keeper: StoreKeeper,
        heartbeats: Sequence[Heartbeat],
        drift: DriftWatch,
        plc_problems: Callable[[], tuple[str, ...]] = lambda: (),
    ) -> None:
        """`heartbeats`: of the threads that belong to none of the others, the sender's and the page's among them."""
        self._lineup = lineup
        self._sender = sender
        self._recorder = recorder
        self._pipeline = pipeline
        self._heartbeats = tuple(heartbeats)
        self._evidence = evidence
        self._keeper = keeper
        self._drift = drift
        self._plc_problems = plc_problems
        self.backlog = Backlog()
        self.unmoved: Mapping[str, int] = {}

    def snapshot(self) -> HealthSnapshot:
        lines = tuple(replace(line, drift=self._drift.report(line.name)) for line in self._lineup.healths())
        advice = (line.drift.note(line.name) for line in lines)
        return HealthSnapshot(
            lines=lines,
            broker_problem=self._sender.problem(),
            sender_alive=self._sender.alive,
            store_problem=self._recorder.problem,
            pipeline_failure=self._pipeline.problem,
            evidence_problem=self._evidence.problem(),
            keeper_problems=self._keeper.problems(),
            oldest_unacknowledged_s=self._sender.oldest_unacknowledged_s(),
            hung=tuple(text for beat in self._heartbeats if (text := beat.problem()) is not None),
            backlog=self.backlog,
            unmoved=self.unmoved,
            notes=(*self._sender.notes(), *self._lineup.judge.notes(), *(text for text in advice if text is not None)),
            plc_problems=self._plc_problems(),
        )

    def problems(self) -> tuple[str, ...]:
        """Why the agent is not healthy now."""
        return problems_of(self.snapshot())

    def ready(self) -> bool:
        """Whether frames are judged and recorded now."""
        return ready(self.snapshot())
