"""The picture that a line shows now: the same for all viewers, encoded once, and renewed as fast as they are served."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal

from agent.pipeline.evidence import encode_jpeg
from agent.pipeline.judged import Judged
from agent.web.pictures import frame_picture, heat_picture
from fbclip.decision import Verdict
from fbclip.images.geometry import RgbImage

Kind = Literal["frame", "overlay"]
ANSWERS_A_SECOND = 20.0
"""Pictures that all viewers of all lines fetch together, about: the more there are, the slower a picture is renewed."""
LEAST_S = 0.5
JPEG_QUALITY = 80
_AT_ONCE = (Verdict.ANOMALY, Verdict.REJECTED)
_RENDER: dict[Kind, Callable[[Judged], RgbImage | None]] = {"frame": frame_picture, "overlay": heat_picture}


@dataclass(frozen=True, eq=False)
class LastInspection:
    """The newest inspection of a line: the `number`-th since the start, taken in `at` (monotonic seconds)."""

    number: int
    at: float
    judged: Judged

    @property
    def verdict(self) -> Verdict:
        return self.judged.inspection.decision.verdict


@dataclass(eq=False)
class _Shown:
    last: LastInspection
    since: float
    jpegs: dict[Kind, bytes | None] = field(default_factory=dict)


class LivePictures:
    """Thread-safe. Frames are kept as they are and become JPEG only when someone asks."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._encoding = threading.Lock()
        self._shown: dict[str, _Shown] = {}

    def keep_lines(self, names: Collection[str]) -> None:
        """Others have no picture any more."""
        with self._lock:
            self._shown = {name: shown for name, shown in self._shown.items() if name in names}

    def turn(self, line: str, newest: LastInspection, every_s: float = LEAST_S) -> LastInspection:
        """What the line shows from now on: the newest, if its turn has come or its verdict is bad news."""
        now = self._monotonic()
        with self._lock:
            shown = self._shown.get(line)
            if shown is None or (newest.number != shown.last.number and _is_due(shown, newest, now, every_s)):
                shown = self._shown[line] = _Shown(newest, now)
            return shown.last

    def number(self, line: str) -> int | None:
        """Of the inspection whose picture the line shows now."""
        with self._lock:
            shown = self._shown.get(line)
            return None if shown is None else shown.last.number

    def ready(self, line: str, kind: Kind, number: int) -> bytes | None:
        """The picture of the `number`-th inspection or a later one, if it was encoded already."""
        with self._lock:
            shown = self._shown.get(line)
            return shown.jpegs.get(kind) if shown is not None and shown.last.number >= number else None

    def jpeg(self, line: str, kind: Kind) -> bytes | None:
        """What the line shows now; None where that has no picture, or no map."""
        # One encoder at a time: many viewers must not take the cores from the detector.
        with self._encoding:
            with self._lock:
                shown = self._shown.get(line)
            if shown is None:
                return None
            if kind not in shown.jpegs:
                image = _RENDER[kind](shown.last.judged)
                shown.jpegs[kind] = None if image is None else encode_jpeg(image, JPEG_QUALITY)
            return shown.jpegs[kind]


def renewed_every_s(viewers: int, lines: int) -> float:
    """How long a picture stands while so many watch so many lines."""
    return max(LEAST_S, viewers * lines / ANSWERS_A_SECOND)


def _is_due(shown: _Shown, newest: LastInspection, now: float, every_s: float) -> bool:
    news = newest.verdict in _AT_ONCE and newest.verdict is not shown.last.verdict
    return now - shown.since >= (LEAST_S if news else every_s)
