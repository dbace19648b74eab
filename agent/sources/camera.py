"""A camera: newest frame wins, reconnects by itself, and says so when no image comes.

Reading happens in a thread of its own, because a driver may hang for ever inside a read; the thread that
runs the source only watches the time since the last frame.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import threading
from collections.abc import Callable, Mapping

from agent.config.line import CameraSource
from agent.errors import SourceError
from agent.heartbeat import Heartbeat, WatchedStop
from agent.records import Frame
from agent.sources.base import Clock, Sink, SystemClock
from agent.sources.capture import Capture, open_capture, redact, retrieve_rgb
from fbclip.images.geometry import RgbImage

log = logging.getLogger(__name__)
CAMERA_LOST = "camera_lost"
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 30.0
_WATCH_S = 0.25
_JOIN_S = 2.0
# Opening and reading each end after 5 s where the driver keeps its word.
HUNG_S = 30.0
MOST_HUNG = 3


class Camera:
    """Frames of one V4L2 device or network camera. `describe` never holds a password."""

    def __init__(
        self,
        line: str,
        section: CameraSource,
        sink: Sink,
        clock: Clock | None = None,
        opener: Callable[[int | str], Capture] = open_capture,
        environ: Mapping[str, str] = os.environ,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._line = line
        self._section = section
        self._sink = sink
        self._clock = clock or SystemClock()
        self._opener = opener
        self._environ = environ
        self._jitter = jitter
        self._seq = itertools.count(1)
        self._health = "starting"
        self._last_frame = self._last_report = self._clock.monotonic()
        self._last_put: float | None = None
        self._readers: list[threading.Thread] = []

    @property
    def health(self) -> str:
        return self._health

    @property
    def problem(self) -> str | None:
        silence = self._clock.monotonic() - self._last_frame
        return f"no image for {silence:.0f} s" if silence > self._section.stall_s else None

    @property
    def describe(self) -> str:
        """The camera's name for people: device number or redacted address."""
        if self._section.device is not None:
            return f"device {self._section.device}"
        return redact(self._section.url) if self._section.url else f"address in {self._section.url_env}"

    def check(self) -> None:
        """Open the camera and read one frame; raises SourceError."""
        capture = self._opener(self._target())
        try:
            if not capture.isOpened():
                raise SourceError(f"line {self._line}: {self.describe}: cannot be opened")
            if not capture.grab() or retrieve_rgb(capture) is None:
                raise SourceError(f"line {self._line}: {self.describe}: opens but gives no image")
        finally:
            capture.release()

    def run(self, stop: threading.Event) -> None:
        """Read until `stop`; raises SourceError when the address is not set, or the driver hangs."""
        self._target()
        self._readers = [reader for reader in self._readers if reader.is_alive()]
        if len(self._readers) >= MOST_HUNG:
            raise SourceError(f"line {self._line}: {self.describe}: the driver hangs, also when it is opened anew")
        self._last_report = self._clock.monotonic()
        reading = Heartbeat("reader", HUNG_S, HUNG_S, self._clock.monotonic)
        end = WatchedStop(reading)
        reader = threading.Thread(target=self.read, args=(end,), name=f"camera-{self._line}", daemon=True)
        self._readers.append(reader)
        reader.start()
        try:
            while not self._clock.wait(stop, _WATCH_S):
                self.watch(stop)
                if not reader.is_alive():
                    raise SourceError(f"line {self._line}: {self.describe}: the reading thread ended")
                if reading.dead:
                    raise SourceError(f"line {self._line}: {self.describe}: the driver hangs")
        finally:
            # A reader that hangs is left behind; when it wakes it ends.
            end.set()
        reader.join(_JOIN_S)

    def watch(self, stop: threading.Event) -> None:
        """Without a frame for stall_s, put one `camera_lost` frame; again after each further stall_s."""
        now = self._clock.monotonic()
        if now - max(self._last_frame, self._last_report) < self._section.stall_s:
            return
        self._last_report = now
        self._health = f"no image for {now - self._last_frame:.0f} s"
        log.warning("line %s: %s: %s", self._line, self.describe, self._health)
        self._sink.put(self._frame(None, CAMERA_LOST), stop)

    def read(self, stop: threading.Event) -> None:
        """Connect, read until it fails, and again after a pause that doubles up to 30 s."""
        pause = FIRST_RETRY_S
        while not stop.is_set():
            capture = self._opener(self._target())
            try:
                frames = self._read_open(capture, stop)
            finally:
                capture.release()
            if frames:
                pause = FIRST_RETRY_S
            if stop.is_set():
                return
            self._health = "connection lost" if frames else "cannot connect"
            # Jitter keeps many cameras behind one switch from coming back in the same instant.
            delay = pause * (0.5 + 0.5 * self._jitter())
            log.warning("line %s: %s: %s, next try in %.1f s", self._line, self.describe, self._health, delay)
            self._clock.wait(stop, delay)
            pause = min(2 * pause, LONGEST_RETRY_S)

    def _read_open(self, capture: Capture, stop: threading.Event) -> int:
        """Frames until the first failure; returns how many there were."""
        if not capture.isOpened():
            return 0
        frames = 0
        while not stop.is_set() and capture.grab():
            now = self._clock.monotonic()
            if self._too_soon(now):
                self._last_frame = now
                self._sink.tally.skipped("max_fps")
                continue
            image = retrieve_rgb(capture)
            if image is None:
                break
            frames += 1
            self._last_frame = self._last_put = now
            self._health = "connected"
            self._sink.put(self._frame(image), stop)
        return frames

    def _too_soon(self, now: float) -> bool:
        fps = self._section.max_fps
        return fps is not None and self._last_put is not None and now - self._last_put < 1 / fps

    def _frame(self, image: RgbImage | None, reason: str | None = None) -> Frame:
        return Frame(self._line, next(self._seq), self._clock.now(), self._clock.monotonic(), image, reason)

    def _target(self) -> int | str:
        if self._section.device is not None:
            return self._section.device
        if self._section.url is not None:
            return self._section.url
        name = self._section.url_env or ""
        url = self._environ.get(name)
        if not url:
            raise SourceError(f"line {self._line}: the environment variable {name} holds no address")
        return url
