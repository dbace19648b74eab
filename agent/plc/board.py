"""The signals of every line, written by the recorder and the daemon, read by the servers of PLCs; from any thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from agent.pipeline.judged import Judged
from agent.plc.signals import LineSignals, with_acknowledgement, with_decision
from agent.records import LineMode

# The daemon looks once a second: after so long without a look nothing is known to work.
STALE_S = 5.0


@dataclass(frozen=True)
class ShownLine:
    """A line as a PLC sees it at one moment; `heartbeat` counts, and stands still while the line does not run."""

    signals: LineSignals
    ok: bool
    heartbeat: int


class PlcBoard:
    """`inspected` is called on the recorder's thread after each commit."""

    def __init__(
        self,
        hold_s: float,
        is_busy: Callable[[str], bool] = lambda _: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_busy`: whether a trigger of a line waits for its verdict; asked from any thread."""
        self._hold_s = hold_s
        self._is_busy = is_busy
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._lines: dict[str, LineSignals] = {}
        self._heartbeats: dict[str, int] = {}
        self._agent_heartbeat = 0
        self._looked = float("-inf")
        self._listeners: tuple[Callable[[str], None], ...] = ()

    def on_change(self, listener: Callable[[str], None]) -> None:
        """It is called with a line's name after each of its results, and must be quick."""
        self._listeners = (*self._listeners, listener)

    def inspected(self, judged: Judged) -> None:
        inspection = judged.inspection
        if inspection.mode is not LineMode.LIVE:
            return
        with self._lock:
            signals = self._lines.get(inspection.line) or LineSignals()
            now = self._monotonic()
            self._lines[inspection.line] = with_decision(signals, inspection.decision, now, self._hold_s)
        for listener in self._listeners:
            listener(inspection.line)

    def look(self, running: Mapping[str, bool], healthy: bool) -> None:
        """Once a second: line -> whether it judges and records now, and whether the whole agent is well."""
        with self._lock:
            self._looked = self._monotonic()
            self._agent_heartbeat += healthy
            for name in {*self._lines, *running}:
                runs = running.get(name, False)
                self._lines[name] = replace(self._lines.get(name) or LineSignals(), running=runs)
                self._heartbeats[name] = self._heartbeats.get(name, 0) + runs

    def acknowledge(self, line: str, value: bool) -> None:
        with self._lock:
            signals = self._lines.get(line) or LineSignals()
            self._lines[line] = with_acknowledgement(signals, value, self._monotonic(), self._hold_s)

    def shown(self, line: str) -> ShownLine:
        """Also of a line that there is not: it does not run."""
        with self._lock:
            now = self._monotonic()
            signals = replace(self._lines.get(line) or LineSignals(), busy=self._is_busy(line))
            if now - self._looked > STALE_S:
                signals = replace(signals, running=False)
            return ShownLine(signals, signals.ok(now), self._heartbeats.get(line, 0))

    @property
    def agent_heartbeat(self) -> int:
        """Counts the seconds in which nothing was wrong with the agent."""
        return self._agent_heartbeat

    @property
    def lines(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._lines)
