"""A camera: newest frame wins, reconnects by itself, and says so when no new image comes.

It is read in a process of its own, because a driver may hang for ever inside a read: that process is killed and another
started. The thread that runs the source waits for its frames and watches the time.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta

import numpy as np

from agent.config.address import redact
from agent.config.source import DEVICE_SETTINGS, CameraSource
from agent.errors import SourceError
from agent.records import Frame
from agent.sources.base import Clock, Sink, SystemClock
from agent.sources.capture_process import CaptureCancelled, CaptureFailed, CaptureProcess, Capturing, Taken
from agent.sources.capture_request import JOINING, CaptureRequest, DeviceSettings
from fbclip.images.geometry import RgbImage

log = logging.getLogger(__name__)
CAMERA_LOST = "camera_lost"
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 30.0
OPEN_S = 10.0
MOST_HELD = 3
_SLICE_S = 0.25
_ROWS = 16

Start = Callable[[CaptureRequest, Callable[[], bool]], Capturing]


class Camera:
    """Frames of one V4L2 device or network camera. `describe` never holds a password."""

    def __init__(
        self,
        line: str,
        section: CameraSource,
        sink: Sink,
        clock: Clock | None = None,
        start: Start = CaptureProcess,
        environ: Mapping[str, str] = os.environ,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`start` makes the capture; `jitter`: a number in [0, 1) for each pause."""
        self._line = line
        self._section = section
        self._sink = sink
        self._clock = clock or SystemClock()
        self._start = start
        self._environ = environ
        self._jitter = jitter
        self._seq = itertools.count(1)
        self._state = "starting"
        self._refused: tuple[str, ...] = ()
        self._connections = 0
        self._images = _Images(self._clock.monotonic())
        self._last_report = self._images.last_sign
        self._last_trouble: str | None = None
        self._held: list[Capturing] = []

    @property
    def health(self) -> str:
        refused = f"; not taken by the driver: {', '.join(self._refused)}" if self._refused else ""
        times = self._connections - 1
        again = f"; reconnected {times} {'time' if times == 1 else 'times'}" if times > 0 else ""
        return self._state + again + refused

    @property
    def problem(self) -> str | None:
        silence = self._clock.monotonic() - self._images.last_new
        return f"{self._images.missing} for {silence:.0f} s" if silence > self._section.stall_s else None

    @property
    def describe(self) -> str:
        """The camera's name for people: device number or redacted address."""
        if self._section.device is not None:
            return f"device {self._section.device}"
        return redact(self._section.url) if self._section.url else f"address in {self._section.url_env}"

    @property
    def unavailable(self) -> bool:
        """What is not there raises SourceError."""
        return False

    def check(self) -> None:
        """Open the camera and read one image, as a run does; raises SourceError, also where a setting is not taken."""
        capture = self._start(self._request(), lambda: False)
        try:
            opened = capture.open()
            if opened.refused:
                raise SourceError(f"{self._name}: the driver does not take {', '.join(opened.refused)}")
            until = self._clock.monotonic() + OPEN_S
            while (taken := capture.next()) is None or taken.image is None:
                if taken is None or self._clock.monotonic() > until:
                    raise SourceError(f"{self._name}: opens but gives no image")
        except CaptureFailed as error:
            raise SourceError(f"{self._name}: {error}") from error
        finally:
            capture.close()

    def run(self, stop: threading.Event) -> None:
        """Read until `stop`, and again after a pause that doubles up to 30 s when it fails.

        Raises SourceError when the address is not set, or where processes cannot be ended any more.
        """
        pause = FIRST_RETRY_S
        self._last_report = self._clock.monotonic()
        while not stop.is_set():
            before = self._images.last_new
            try:
                self._read(stop)
            except CaptureCancelled:
                return
            except CaptureFailed as error:
                if self._images.last_new > before:
                    pause = FIRST_RETRY_S
                # Jitter keeps many cameras behind one switch from coming back in the same instant.
                delay = pause * (0.5 + 0.5 * self._jitter())
                self._trouble(str(error), delay)
                self._wait(stop, delay)
                pause = min(2 * pause, LONGEST_RETRY_S)

    def watch(self, stop: threading.Event) -> None:
        """Without a frame for stall_s, put one `camera_lost` frame; again after each further stall_s."""
        now = self._clock.monotonic()
        if now - max(self._images.last_sign, self._last_report) < self._section.stall_s:
            return
        self._last_report = now
        log.warning("%s: no image for %.0f s", self._name, now - self._images.last_sign)
        self._sink.put(self._frame(now, None, CAMERA_LOST), stop)

    def _read(self, stop: threading.Event) -> None:
        """One process, from its start to its end or `stop`."""
        self._held = [capture for capture in self._held if capture.alive]
        if len(self._held) >= MOST_HELD:
            raise SourceError(
                f"{self._name}: its driver holds {len(self._held)} ended processes; unplug it, or restart the machine"
            )
        capture = self._start(self._request(), lambda: self._cancelled(stop))
        try:
            opened = capture.open()
            self._refused = opened.refused
            if opened.refused:
                log.warning("%s: the driver does not take %s", self._name, ", ".join(opened.refused))
            began = self._clock.monotonic()
            joined = False
            while not self._cancelled(stop):
                taken = capture.next()
                if taken is None:
                    raise CaptureFailed("the connection was lost")
                self._take(taken, stop)
                if not joined and taken.image is not None:
                    joined = True
                    self._connected()
                if self._clock.monotonic() - max(began, self._images.last_new) > self._section.stall_s:
                    raise CaptureFailed(f"{self._images.missing} for {self._section.stall_s:g} s")
        finally:
            if not capture.close():
                self._held.append(capture)

    def _take(self, taken: Taken, stop: threading.Event) -> None:
        for reason, count in taken.skipped.items():
            self._sink.tally.skipped(reason, count)
        self._images.note(taken, self._clock.monotonic())
        if taken.image is not None or taken.reason is not None:
            self._sink.put(self._frame(taken.at, taken.image, taken.reason), stop)

    def _connected(self) -> None:
        self._connections += 1
        self._state = "connected"
        if self._last_trouble is not None:
            log.info("%s: connected again", self._name)
        self._last_trouble = None

    def _trouble(self, text: str, delay: float) -> None:
        self._state = text
        # A camera that is off for a week must not fill the log.
        level = logging.DEBUG if text == self._last_trouble else logging.WARNING
        log.log(level, "%s: %s; next try in %.1f s", self._name, text, delay)
        self._last_trouble = text

    def _cancelled(self, stop: threading.Event) -> bool:
        self.watch(stop)
        return stop.is_set()

    def _wait(self, stop: threading.Event, seconds: float) -> None:
        end = self._clock.monotonic() + seconds
        while (left := end - self._clock.monotonic()) > 0 and not self._cancelled(stop):
            self._clock.wait(stop, min(left, _SLICE_S))

    def _frame(self, at: float, image: RgbImage | None, reason: str | None) -> Frame:
        ts = self._clock.now() - timedelta(seconds=max(0.0, self._clock.monotonic() - at))
        # News of a lost camera does not age.
        expires = None if image is None else at + self._section.max_age_s
        return Frame(self._line, next(self._seq), ts, at, image, reason, expires=expires)

    @property
    def _name(self) -> str:
        return f"line {self._line}: {self.describe}"

    def _request(self) -> CaptureRequest:
        section = self._section
        settings = DeviceSettings(**{name: getattr(section, name) for name in DEVICE_SETTINGS})
        # Opened anew after half the time, so that what a new connection heals is healed before it is a fault.
        return CaptureRequest(self._target(), OPEN_S, section.stall_s / 2, max_fps=section.max_fps, settings=settings)

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


class _Images:
    """What came last, and when. A driver that gives the same buffer again and again has given one image."""

    def __init__(self, now: float) -> None:
        self.last_sign = self.last_new = now
        self.missing = "no image"
        self._previous: RgbImage | None = None

    def note(self, taken: Taken, now: float) -> None:
        """`now`: monotonic s. Frames that were skipped are as good as the last one that was looked at."""
        if taken.reason is not None:
            self.missing = "no whole image"
        elif taken.image is not None:
            same = self._previous is not None and _identical(taken.image, self._previous)
            self.missing = "no new image" if same else "no image"
            self._previous = taken.image
        elif not taken.skipped.keys() - {JOINING}:
            # It sends something, but nothing that could be judged.
            self.missing = "no whole image" if taken.skipped else self.missing
            return
        self.last_sign = now
        if self.missing == "no image":
            self.last_new = now


def _identical(image: RgbImage, other: RgbImage) -> bool:
    """Two real exposures differ in a few rows already."""
    return np.array_equal(image[::_ROWS], other[::_ROWS]) and np.array_equal(image, other)
