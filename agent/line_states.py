"""What a line should be, and what it is at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.config.line import LineSection
from agent.drift.advice import NOT_LOOKED_AT, DriftReport
from agent.pipeline.lines import ManualThreshold
from agent.records import LineCounters, LineMode, TriggerCounts


class LineState(StrEnum):
    """failing: its source runs, but no frames come. unavailable: it cannot run, or what it reads is not there
    or cannot be used as it should be, and is tried again."""

    RUNNING = "running"
    FAILING = "failing"
    UNAVAILABLE = "unavailable"
    DISABLED = "disabled"


@dataclass(frozen=True)
class LinePlan:
    """What a line should be: its section, switched on or off, and a threshold set by hand instead of the profile's."""

    section: LineSection
    enabled: bool = True
    threshold: ManualThreshold | None = None

    @property
    def name(self) -> str:
        return self.section.name


@dataclass(frozen=True)
class LineHealth:
    """One line at one moment. `health` is a short line for people; `problem` is None while all is well.

    `guarantee`: what may be relied on of its threshold, in a few words; None before the line was loaded.
    """

    name: str
    mode: LineMode
    health: str
    problem: str | None
    counters: LineCounters
    state: LineState = LineState.RUNNING
    live: bool = False
    guarantee: str | None = None
    triggers: TriggerCounts | None = None
    drift: DriftReport = NOT_LOOKED_AT
