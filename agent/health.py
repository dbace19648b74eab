"""Is the agent healthy, and why not: pure answers from a snapshot of its parts, and the probe that takes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.mqtt.sender import Sender
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.recorder import Recorder
from agent.pipeline.workers import Pipeline
from agent.records import LineCounters, LineMode
from agent.sources.sinks import Tally
from agent.sources.supervisor import SourceSupervisor
from agent.store.keeper import StoreKeeper


@dataclass(frozen=True)
class LineHealth:
    """One line at one moment. `health` is a short line for people; `problem` is None while the source runs."""

    name: str
    mode: LineMode
    health: str
    problem: str | None
    counters: LineCounters


@dataclass(frozen=True)
class HealthSnapshot:
    """All parts at one moment; a problem is one line without secrets, None where there is none."""

    lines: tuple[LineHealth, ...]
    broker_problem: str | None = None
    sender_alive: bool = True
    store_problem: str | None = None
    pipeline_failure: str | None = None
    evidence_problem: str | None = None
    keeper_problems: tuple[str, ...] = ()
    oldest_unacknowledged_s: float = 0.0


@dataclass(frozen=True)
class HealthChange:
    """What differs between two looks, in alphabetical order."""

    new: tuple[str, ...]
    recovered: tuple[str, ...]


def problems_of(snapshot: HealthSnapshot) -> tuple[str, ...]:
    """Why the agent is not healthy, one line each; empty if it is."""
    found = [line.problem for line in snapshot.lines]
    found += [snapshot.broker_problem, None if snapshot.sender_alive else "the sender thread ended"]
    found += [snapshot.store_problem, *snapshot.keeper_problems, snapshot.pipeline_failure, snapshot.evidence_problem]
    return tuple(text for text in found if text is not None)


def health_change(before: Collection[str], now: Collection[str]) -> HealthChange:
    """Which problems are new and which are gone."""
    return HealthChange(tuple(sorted(set(now) - set(before))), tuple(sorted(set(before) - set(now))))


def health_body(snapshot: HealthSnapshot) -> dict[str, Any]:
    """The agent's retained health."""
    problems = problems_of(snapshot)
    return {
        "healthy": not problems,
        "problems": list(problems),
        "oldest_unacknowledged_s": round(snapshot.oldest_unacknowledged_s, 1),
        "lines": {line.name: _counters_body(line.counters) for line in snapshot.lines},
    }


def line_status_body(line: LineHealth) -> dict[str, Any]:
    """A line's retained status. It is published in every mode and therefore names it."""
    return {
        "state": "running" if line.problem is None else "failing",
        "health": line.health,
        "mode": line.mode.value,
    }


def _counters_body(counters: LineCounters) -> dict[str, Any]:
    return {
        "grabbed": counters.grabbed,
        "inspected": counters.inspected,
        "rejected": counters.rejected,
        "dropped": counters.dropped,
        "in_flight": counters.in_flight,
    }


@dataclass(frozen=True)
class HealthProbe:
    """Looks at the parts; any thread may ask. `modes` and `tallies` by line."""

    modes: Mapping[str, LineMode]
    tallies: Mapping[str, Tally]
    supervisors: Sequence[SourceSupervisor]
    sender: Sender
    recorder: Recorder
    pipeline: Pipeline
    evidence: EvidenceWriter
    keeper: StoreKeeper

    def snapshot(self) -> HealthSnapshot:
        return HealthSnapshot(
            lines=tuple(map(self._line, self.supervisors)),
            broker_problem=self.sender.problem(),
            sender_alive=self.sender.alive,
            store_problem=self.recorder.problem,
            pipeline_failure=self.pipeline.failure,
            evidence_problem=self.evidence.problem(),
            keeper_problems=self.keeper.problems(),
            oldest_unacknowledged_s=self.sender.oldest_unacknowledged_s(),
        )

    def problems(self) -> tuple[str, ...]:
        """Why the agent is not healthy now."""
        return problems_of(self.snapshot())

    def _line(self, supervisor: SourceSupervisor) -> LineHealth:
        name = supervisor.line
        counters = self.tallies[name].snapshot()
        return LineHealth(name, self.modes[name], supervisor.health, supervisor.problem, counters)
