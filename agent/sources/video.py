"""A video file or a sequence of images: played in real time like a camera, or every frame judged like a file."""

from __future__ import annotations

import itertools
import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from agent.config.source import MAX_AGE_S, VideoSource
from agent.errors import SourceError
from agent.records import Frame
from agent.sources.base import Clock, Sink, SystemClock
from agent.sources.capture_process import CaptureCancelled, CaptureFailed, CaptureProcess, Capturing, Opened, Taken
from agent.sources.capture_request import CaptureRequest
from agent.sources.sequence import ImageSequence, SequenceCapture, find_sequence

log = logging.getLogger(__name__)
DEFAULT_FPS = 25.0
LEAST_SHARE = 0.95
OPEN_S = 20.0
FRAME_S = 20.0
_LATEST_S = 1.0


def start_capture(section: VideoSource, cancelled: Callable[[], bool]) -> tuple[Capturing, str]:
    """What plays the section's path, not opened yet, and what that is in words. Raises CaptureFailed."""
    path = section.path

    def find() -> ImageSequence | None:
        try:
            return find_sequence(path)
        except OSError as error:
            raise CaptureFailed(f"cannot be read: {error.strerror}") from error

    sequence = find()
    if sequence is not None:
        # A path that has become a file meanwhile holds no sequence any more.
        return SequenceCapture(lambda: find() or ImageSequence((), ""), cancelled), sequence.choice
    if not path.is_file():
        raise CaptureFailed("no such file, folder or pattern")
    request = CaptureRequest(str(path), OPEN_S, FRAME_S, every=True, repeat=section.loop)
    return CaptureProcess(request, cancelled), "a video"


@dataclass
class _Pass:
    """One time through: frames read, how many of them are no image, how many were promised, and what ended it."""

    frames: int = 0
    damaged: int = 0
    promised: float = 0.0
    failure: str | None = None


class Video:
    """With `realtime` the sink should be a NewestSlot, else a BlockingQueue; frame numbers count from 0."""

    def __init__(
        self,
        line: str,
        section: VideoSource,
        sink: Sink,
        clock: Clock | None = None,
        start: Callable[[VideoSource, Callable[[], bool]], tuple[Capturing, str]] = start_capture,
    ) -> None:
        self._line = line
        self._section = section
        self._sink = sink
        self._clock = clock or SystemClock()
        self._start = start
        self._seq = itertools.count(1)
        self._health = "starting"
        self._problem: str | None = None

    @property
    def health(self) -> str:
        return self._health

    @property
    def problem(self) -> str | None:
        return self._problem

    @property
    def unavailable(self) -> bool:
        """What is not there raises SourceError."""
        return False

    def check(self) -> None:
        """Open it and read its first frame; raises SourceError."""
        try:
            capture, _ = self._start(self._section, lambda: False)
            try:
                capture.open()
                taken = capture.next()
            finally:
                capture.close()
        except CaptureFailed as error:
            raise self._error(error) from error
        if taken is None or taken.image is None:
            raise SourceError(f"line {self._line}: {self._section.path}: its first frame is no image")

    def run(self, stop: threading.Event) -> None:
        """Play to the end, or for ever with `loop`; raises SourceError when it cannot be used."""
        capture: tuple[Capturing, str] | None = None
        try:
            while not stop.is_set():
                played = _Pass()
                try:
                    capture = capture or self._start(self._section, stop.is_set)
                    self._play(*capture, played, stop)
                except CaptureCancelled:
                    break
                except CaptureFailed as error:
                    if not played.frames:
                        raise self._error(error) from error
                    played.failure = str(error)
                if not played.frames and not stop.is_set():
                    raise SourceError(f"line {self._line}: {self._section.path}: holds no image")
                fault = None if stop.is_set() else self._fault(played)
                if fault is not None:
                    log.warning("line %s: %s", self._line, fault)
                if not self._section.loop:
                    self._problem = fault or self._silence(stop)
                    break
                if played.failure is not None and capture is not None:
                    capture[0].close()
                    capture = None
        finally:
            if capture is not None:
                capture[0].close()
        self._health = "stopped" if stop.is_set() else self._problem or "finished"

    def _error(self, error: CaptureFailed) -> SourceError:
        return SourceError(f"line {self._line}: {self._section.path}: {error}")

    @staticmethod
    def _fault(played: _Pass) -> str | None:
        """What is wrong with a video that was played to its end."""
        found = []
        # The count in the header is an estimate in some formats.
        if played.failure is not None:
            found.append(f"the video ended early, after {played.frames} frames: {played.failure}")
        elif played.frames < LEAST_SHARE * played.promised:
            found.append(f"the video ended early, after {played.frames} of {played.promised:.0f} frames")
        if played.damaged:
            found.append(f"{played.damaged} of {played.frames} frames are damaged")
        return "; ".join(found) or None

    def _silence(self, stop: threading.Event) -> str | None:
        """A video that stands for a camera should go on."""
        ended = self._section.realtime and not stop.is_set()
        return "the video has ended, no more frames come" if ended else None

    def _play(self, capture: Capturing, kind: str, played: _Pass, stop: threading.Event) -> None:
        opened = capture.open()
        fps, why = self._speed(opened)
        kind = f"{kind}, {fps:g} frames a second ({why})"
        if self._health == "starting":
            log.info("line %s: %s", self._line, kind)
        played.promised = opened.frames
        self._play_open(capture, fps, kind, played, stop)

    def _speed(self, opened: Opened) -> tuple[float, str]:
        if self._section.fps is not None:
            return self._section.fps, "fps"
        return (opened.fps, "its own") if 0 < opened.fps <= 1000 else (DEFAULT_FPS, "fps is not set")

    def _play_open(self, capture: Capturing, fps: float, kind: str, played: _Pass, stop: threading.Event) -> None:
        limit = self._section.max_fps
        start, last_put = self._clock.monotonic(), -math.inf
        while (taken := capture.next()) is not None:
            if self._section.realtime:
                due = start + played.frames / fps
                if self._clock.monotonic() - due > _LATEST_S:
                    # After a pause of the machine it goes on from here, instead of racing to catch up.
                    start += self._clock.monotonic() - due
            else:
                # Nothing is skipped: a limit only slows the reading down.
                due = last_put + 1 / limit if limit else -math.inf
            if self._wait_until(due, stop):
                break
            now = self._clock.monotonic()
            if self._section.realtime and limit and now - last_put < 1 / limit:
                self._sink.tally.skipped("max_fps")
            elif self._put(taken, played.frames, stop):
                last_put = now
            else:
                break
            played.frames += 1
            played.damaged += taken.image is None
            damaged = f"; {played.damaged} damaged frames" if played.damaged else ""
            self._health = f"playing {kind}{damaged}"

    def _wait_until(self, due: float, stop: threading.Event) -> bool:
        left = due - self._clock.monotonic()
        return self._clock.wait(stop, left) if left > 0 else stop.is_set()

    def _put(self, taken: Taken, number: int, stop: threading.Event) -> bool:
        now = self._clock.monotonic()
        frame = Frame(
            line=self._line,
            seq=next(self._seq),
            ts=self._clock.now(),
            monotonic=now,
            image=taken.image,
            reason=taken.reason,
            frame_number=number,
            discrete=not self._section.realtime,
            expires=now + MAX_AGE_S if self._section.realtime else None,
        )
        return self._sink.put(frame, stop)
