"""A video file: played in real time like a camera, or every frame judged like a file."""

from __future__ import annotations

import itertools
import math
import threading

import cv2

from agent.config.line import VideoSource
from agent.errors import SourceError
from agent.records import Frame
from agent.sources.base import Clock, Sink, SystemClock
from agent.sources.capture import Capture, open_capture, retrieve_rgb

DEFAULT_FPS = 25.0
_LATEST_S = 1.0
LEAST_SHARE = 0.95


class Video:
    """With `realtime` the sink should be a NewestSlot, else a BlockingQueue; frame numbers count from 0."""

    def __init__(self, line: str, section: VideoSource, sink: Sink, clock: Clock | None = None) -> None:
        self._line = line
        self._section = section
        self._sink = sink
        self._clock = clock or SystemClock()
        self._seq = itertools.count(1)
        self._health = "starting"
        self._problem: str | None = None

    @property
    def health(self) -> str:
        return self._health

    @property
    def problem(self) -> str | None:
        return self._problem

    def check(self) -> None:
        """Open the file and read its first frame; raises SourceError."""
        capture = self._open()
        try:
            if not capture.grab() or retrieve_rgb(capture) is None:
                raise SourceError(f"line {self._line}: {self._section.path}: holds no image")
        finally:
            capture.release()

    def run(self, stop: threading.Event) -> None:
        """Play to the end, or for ever with `loop`; raises SourceError when the file cannot be used."""
        while not stop.is_set():
            capture = self._open()
            try:
                frames, promised = self._play(capture, stop), capture.get(cv2.CAP_PROP_FRAME_COUNT)
            finally:
                capture.release()
            if not frames and not stop.is_set():
                raise SourceError(f"line {self._line}: {self._section.path}: holds no image")
            if not self._section.loop:
                self._problem = None if stop.is_set() else self._ended(frames, promised)
                break
        self._health = "stopped" if stop.is_set() else self._problem or "finished"

    def _ended(self, frames: int, promised: float) -> str | None:
        """What is wrong with the end of a video that is not played again."""
        # The count in the header is an estimate in some formats.
        if math.isfinite(promised) and frames < LEAST_SHARE * promised:
            return f"the video ended early, after {frames} of {promised:.0f} frames"
        return "the video has ended, no more frames come" if self._section.realtime else None

    def _open(self) -> Capture:
        path = self._section.path
        if not path.is_file():
            raise SourceError(f"line {self._line}: {path}: no such file")
        capture = open_capture(str(path))
        if not capture.isOpened():
            capture.release()
            raise SourceError(f"line {self._line}: {path}: not a video that can be opened")
        return capture

    def _play(self, capture: Capture, stop: threading.Event) -> int:
        """One pass; returns how many frames were read."""
        fps = capture.get(cv2.CAP_PROP_FPS)
        fps = fps if math.isfinite(fps) and 0 < fps <= 1000 else DEFAULT_FPS
        limit = self._section.max_fps
        start, last_put = self._clock.monotonic(), -math.inf
        number = 0
        while capture.grab():
            if self._section.realtime:
                due = start + number / fps
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
            elif self._put(capture, number, now, stop):
                last_put = now
            else:
                break
            number += 1
        return number

    def _wait_until(self, due: float, stop: threading.Event) -> bool:
        left = due - self._clock.monotonic()
        return self._clock.wait(stop, left) if left > 0 else stop.is_set()

    def _put(self, capture: Capture, number: int, taken: float, stop: threading.Event) -> bool:
        image = retrieve_rgb(capture)
        frame = Frame(
            line=self._line,
            seq=next(self._seq),
            ts=self._clock.now(),
            monotonic=taken,
            image=image,
            reason="corrupt" if image is None else None,
            frame_number=number,
            discrete=not self._section.realtime,
        )
        self._health = "playing"
        return self._sink.put(frame, stop)
