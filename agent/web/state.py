"""What the page shows of the running agent; written by the pipeline, read by the web server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np

from agent.pipeline.evidence import encode_jpeg, overlay
from agent.records import Inspection, LineCounters
from fbclip.images.geometry import FloatMap, Placement, RgbImage

STALE_S = 10.0
SHOWN_SIDE = 1280
ENCODE_EVERY_S = 0.5
JPEG_QUALITY = 80


@dataclass(frozen=True)
class RecentEvent:
    """One row of the table of recent events. `ended` is None while the event is open."""

    started: datetime
    ended: datetime | None
    line: str
    kind: str
    reason: str | None
    z: float | None
    threshold: float | None


@dataclass(frozen=True, eq=False)
class _Shown:
    """The last inspection of a line with what its images are drawn from."""

    number: int
    at: float
    inspection: Inspection
    image: RgbImage | None
    margins: FloatMap | None
    placement: Placement | None
    limits: tuple[float, float] | None


@dataclass(frozen=True)
class _Line:
    """`live`: a camera, whose silence is a fault; a folder may be quiet for days."""

    name: str
    mode: str
    live: bool
    health: str = "starting"
    counters: LineCounters = field(default_factory=LineCounters)
    shown: _Shown | None = None


@dataclass(frozen=True)
class _Encoded:
    number: int
    at: float
    jpeg: bytes | None


class LiveState:
    """Thread-safe. Images are kept as they are and become JPEG only when someone looks, at most twice a second."""

    def __init__(
        self,
        agent: str,
        events: Callable[[], Sequence[RecentEvent]] = tuple,
        problems: Callable[[], Sequence[str]] = tuple,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`events`: recent ones, newest first. `problems`: why the agent is not healthy; none if it is."""
        self.agent = agent
        self.events = events
        self.problems = problems
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._encoding = threading.Lock()
        self._lines: dict[str, _Line] = {}
        self._encoded: dict[tuple[str, str], _Encoded] = {}
        self._mqtt = "not connected"

    def add_line(self, name: str, mode: str, live: bool) -> None:
        """Lines are shown in the order they are added."""
        with self._lock:
            self._lines[name] = _Line(name, mode, live)

    def set_mqtt(self, text: str) -> None:
        """One short line without secrets, e.g. "connected" or "offline, 12 messages waiting"."""
        with self._lock:
            self._mqtt = text

    def set_line(self, name: str, health: str, counters: LineCounters) -> None:
        """What the source says of itself, and a snapshot of its counters."""
        with self._lock:
            self._lines[name] = replace(self._lines[name], health=health, counters=counters)

    def show(
        self,
        inspection: Inspection,
        image: RgbImage | None,
        margins: FloatMap | None = None,
        placement: Placement | None = None,
        limits: tuple[float, float] | None = None,
    ) -> None:
        """The newest inspection of its line. The arrays are kept, not copied: do not write to them afterwards."""
        with self._lock:
            line = self._lines[inspection.line]
            number = 1 if line.shown is None else line.shown.number + 1
            shown = _Shown(number, self._monotonic(), inspection, image, margins, placement, limits)
            self._lines[line.name] = replace(line, shown=shown)

    @property
    def line_names(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._lines)

    def snapshot(self) -> dict[str, Any]:
        """Everything but the images, as JSON values; the answer of /api/state."""
        with self._lock:
            lines, mqtt = list(self._lines.values()), self._mqtt
        now = self._monotonic()
        return {
            "agent": self.agent,
            "ts": _text(datetime.now(UTC)),
            "mqtt": mqtt,
            "problems": list(self.problems()),
            "lines": [_line_json(line, now) for line in lines],
            "events": [
                {**asdict(event), "started": _text(event.started), "ended": event.ended and _text(event.ended)}
                for event in self.events()
            ],
        }

    def frame_jpeg(self, name: str) -> bytes | None:
        """The last frame; None without one. Raises KeyError for an unknown line."""
        return self._jpeg(name, "frame", lambda shown: shown.image)

    def overlay_jpeg(self, name: str) -> bytes | None:
        """The last frame with its heat map; None where there is no map. Raises KeyError for an unknown line."""
        return self._jpeg(name, "overlay", _draw)

    def _jpeg(self, name: str, kind: str, draw: Callable[[_Shown], RgbImage | None]) -> bytes | None:
        # One encoder at a time: many viewers must not take the cores from the detector.
        with self._encoding:
            with self._lock:
                shown = self._lines[name].shown
            if shown is None:
                return None
            now = self._monotonic()
            last = self._encoded.get((name, kind))
            if last is not None and (last.number == shown.number or now - last.at < ENCODE_EVERY_S):
                return last.jpeg
            image = draw(shown)
            jpeg = None if image is None else encode_jpeg(_shrink(image), JPEG_QUALITY)
            self._encoded[name, kind] = _Encoded(shown.number, now, jpeg)
            return jpeg


def _draw(shown: _Shown) -> RgbImage | None:
    if shown.image is None or shown.margins is None or shown.placement is None or shown.limits is None:
        return None
    return overlay(shown.image, shown.margins, shown.placement, shown.limits, shown.inspection.decision.regions)


def _shrink(image: RgbImage) -> RgbImage:
    height, width = image.shape[:2]
    scale = SHOWN_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _line_json(line: _Line, now: float) -> dict[str, Any]:
    counters = line.counters
    out: dict[str, Any] = {
        "name": line.name,
        "mode": line.mode,
        "live": line.live,
        "health": line.health,
        "grabbed": counters.grabbed,
        "inspected": counters.inspected,
        "rejected": counters.rejected,
        "dropped": sum(counters.dropped.values()),
        "in_flight": counters.in_flight,
        "verdict": None,
    }
    if line.shown is not None:
        shown, decision = line.shown, line.shown.inspection.decision
        age = max(0.0, now - shown.at)
        out |= {
            "number": shown.number,
            "frame_seq": shown.inspection.frame_seq,
            "ts": _text(shown.inspection.ts),
            "age_s": round(age, 1),
            "stale": line.live and age > STALE_S,
            "verdict": decision.verdict.value,
            "reason": decision.reason,
            "z": decision.z,
            "threshold": decision.threshold,
            "margin": decision.margin,
            "score": decision.score,
            "has_frame": shown.image is not None,
            "has_map": shown.margins is not None and shown.image is not None and shown.limits is not None,
            "latency_ms": round(shown.inspection.latency.total, 1),
        }
    return out


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
