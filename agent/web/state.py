"""What the page shows of the running agent; written by the pipeline, read by the web server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from agent.drift.advice import NOT_LOOKED_AT, DriftReport
from agent.pipeline.judged import Judged
from agent.records import LineCounters, TriggerCounts, timestamp
from agent.web.live_pictures import Kind, LastInspection, LivePictures, renewed_every_s
from agent.web.trend import Trend

STALE_S = 10.0


@dataclass(frozen=True)
class LineView:
    """`live`: a camera, whose silence is a fault; a folder may be quiet for days."""

    name: str
    mode: str
    live: bool
    health: str = "starting"
    counters: LineCounters = field(default_factory=LineCounters)
    triggers: TriggerCounts | None = None
    last: LastInspection | None = None
    drift: DriftReport = NOT_LOOKED_AT
    state: str = "running"


class PageState:
    """Thread-safe."""

    def __init__(self, agent: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.agent = agent
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._lines: dict[str, LineView] = {}
        self._trends: dict[str, Trend] = {}
        self._pictures = LivePictures(monotonic)
        self._mqtt = "not connected"

    def add_line(self, name: str, mode: str, live: bool) -> None:
        """Lines are shown in the order they are added; one that is there keeps what it shows."""
        with self._lock:
            self._lines[name] = replace(self._lines.get(name) or LineView(name, mode, live), mode=mode, live=live)
            self._trends.setdefault(name, Trend())

    def keep_lines(self, names: Collection[str]) -> None:
        """Others are shown no more."""
        with self._lock:
            self._lines = {name: line for name, line in self._lines.items() if name in names}
            self._trends = {name: trend for name, trend in self._trends.items() if name in names}
        self._pictures.keep_lines(names)

    def set_mqtt(self, text: str) -> None:
        """One short line without secrets, e.g. "connected" or "offline, 12 messages waiting"."""
        with self._lock:
            self._mqtt = text

    def set_line(
        self,
        name: str,
        health: str,
        counters: LineCounters,
        triggers: TriggerCounts | None = None,
        drift: DriftReport | None = None,
        state: str = "running",
    ) -> None:
        """The health that the source reports, and a snapshot of its counters; `triggers` of a line that hears them."""
        with self._lock:
            line = self._lines[name]
            drift = drift or line.drift
            self._lines[name] = replace(
                line, health=health, counters=counters, triggers=triggers, drift=drift, state=state
            )

    def inspected(self, judged: Judged) -> None:
        """The newest inspection of its line. The arrays are kept, not copied: do not write to them afterwards.

        Of a private line no picture is kept, so none can be shown.
        """
        if judged.inspection.private:
            nameless = replace(judged.frame, image=None, volume=None, path=None, series=())
            judged = replace(judged, frame=nameless, prediction=None)
        with self._lock:
            line = self._lines.get(judged.inspection.line)
            if line is None:
                # A last frame of a line that was taken away.
                return
            now, decision = self._monotonic(), judged.inspection.decision
            number = 1 if line.last is None else line.last.number + 1
            self._lines[line.name] = replace(line, last=LastInspection(number, now, judged))
            self._trends[line.name].add(now, decision.verdict, decision.z)

    @property
    def line_names(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._lines)

    @property
    def mqtt(self) -> str:
        with self._lock:
            return self._mqtt

    def line(self, name: str) -> LineView | None:
        """What is known of a line now; None where there is no such line."""
        with self._lock:
            return self._lines.get(name)

    def snapshot(self, viewers: int = 0) -> dict[str, Any]:
        """Lines and connection as JSON values, without the images: the part of /api/state that is kept here.

        `viewers` will ask for the pictures that it names.
        """
        now = self._monotonic()
        with self._lock:
            lines, mqtt = list(self._lines.values()), self._mqtt
            trends = {name: (trend.points(now), trend.rate(now)) for name, trend in self._trends.items()}
        every_s = renewed_every_s(viewers, len(lines))
        return {
            "agent": self.agent,
            "ts": timestamp(datetime.now(UTC)),
            "mqtt": mqtt,
            "lines": [
                {
                    **_line_json(line, now),
                    **self._picture_json(line, every_s),
                    "trend": trends[line.name][0],
                    "fps": trends[line.name][1],
                }
                for line in lines
            ],
        }

    def _picture_json(self, line: LineView, every_s: float) -> dict[str, Any]:
        if line.last is None:
            return {"picture": None}
        shown = self._pictures.turn(line.name, line.last, every_s)
        judged = shown.judged
        has_frame = judged.frame.image is not None
        return {
            "picture": shown.number,
            "picture_verdict": shown.verdict.value,
            "picture_inspection": judged.row,
            "has_frame": has_frame,
            "has_map": has_frame and judged.margins is not None and judged.limits is not None,
        }

    def picture_ready(self, name: str, kind: Kind, number: int) -> bytes | None:
        """That of the `number`-th inspection or a later one, if it needs no work."""
        return self._pictures.ready(name, kind, number)

    def picture(self, name: str, kind: Kind, number: int = 0) -> bytes | None:
        """The last frame, or it under its heat map, as JPEG; None without one. Raises KeyError for an unknown line.

        `number`: of the inspection whose picture a state has named; without it the newest is encoded now and then.
        """
        with self._lock:
            last = self._lines[name].last
        if last is None:
            return None
        if self._pictures.number(name) != number:
            self._pictures.turn(name, last)
        return self._pictures.jpeg(name, kind)


def _line_json(line: LineView, now: float) -> dict[str, Any]:
    counters = line.counters
    out: dict[str, Any] = {
        "name": line.name,
        "mode": line.mode,
        "live": line.live,
        "state": line.state,
        "health": line.health,
        "line_advice": line.drift.body()["advice"],
        "grabbed": counters.grabbed,
        "inspected": counters.inspected,
        "rejected": counters.rejected,
        "dropped": sum(counters.dropped.values()),
        "in_flight": counters.in_flight,
        "triggers": None if line.triggers is None else asdict(line.triggers),
        "verdict": None,
        "drift": line.drift.body(),
    }
    if line.last is not None:
        judged, inspection = line.last.judged, line.last.judged.inspection
        decision = inspection.decision
        age = max(0.0, now - line.last.at)
        out |= {
            "inspection_id": judged.row,
            "frame_seq": inspection.frame_seq,
            "reference": inspection.path if inspection.private else None,
            "ts": timestamp(inspection.ts),
            "age_s": round(age, 1),
            "stale": line.live and age > STALE_S,
            "verdict": decision.verdict.value,
            "reason": decision.reason,
            "advice": decision.advice,
            "z": decision.z,
            "threshold": decision.threshold,
            "margin": decision.margin,
            "score": decision.score,
            "latency_ms": round(inspection.latency.total, 1),
        }
    return out
