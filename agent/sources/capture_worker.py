"""The body of a camera's process: opens it, writes its frames into shared memory, and may be killed at any moment.

Started by `agent/sources/capture_process.py`, never by hand: two numbers of open memory files as arguments, the request
as a line on stdin and then a line for each frame that was taken; one JSON line on stdout for each thing that happened.
Whatever FFmpeg and the drivers print stays in here: it holds addresses with their passwords.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from agent.sources.damage import LOG_LEVEL, DamageWatch

# Read when FFmpeg is first used.
os.environ["OPENCV_FFMPEG_LOGLEVEL"] = str(LOG_LEVEL)

import cv2

from agent.sources.capture import OpenCapture, open_capture, retrieve_rgb
from agent.sources.capture_request import JOINING, MAX_FRAME, SLOTS, TELL_S, CaptureRequest
from fbclip.errors import ImageError
from fbclip.images.geometry import RgbImage
from fbclip.images.header import MAX_PIXELS

MEMORY = 3 << 30
_LOG_BYTES = 1 << 16
_DIE_WITH_PARENT = 1


class PrivateLog:
    """stdout and stderr of this process, as a file in memory that is read and emptied after each frame."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._file = os.memfd_create("log")
        os.dup2(self._file, 1)
        os.dup2(self._file, 2)

    def take(self) -> str:
        """What was printed since the last time, its beginning where it is long."""
        self._libc.fflush(None)
        size = os.fstat(self._file).st_size
        if not size:
            return ""
        text = os.pread(self._file, min(size, _LOG_BYTES), 0).decode("utf-8", "replace")
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        return text


class Slots:
    """Which memory files may be written to; the other side names those that it has read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._free = list(range(SLOTS))
        self._changed = threading.Condition()
        self._stream = stream
        threading.Thread(target=self._listen, name="taken", daemon=True).start()

    def take(self, wait: bool) -> int | None:
        """A free slot, or None when there is none and `wait` is false."""
        with self._changed:
            while wait and not self._free:
                self._changed.wait()
            return self._free.pop(0) if self._free else None

    def _listen(self) -> None:
        for line in self._stream:
            with self._changed:
                self._free.append(int(line))
                self._changed.notify()
        # The agent is gone, and the driver may hang: nobody else would end this process.
        os._exit(0)


class FrameTeller:
    """Frames of one open capture -> slots and lines, until it ends."""

    def __init__(self, request: CaptureRequest, files: tuple[int, ...], slots: Slots, out: IO[bytes]) -> None:
        self._request = request
        self._files = files
        self._slots = slots
        self._out = out
        self._skipped: dict[str, int] = {}
        self._told = self._given = float("-inf")

    def say(self, **answer: Any) -> None:
        """One line, with the frames that were skipped since the line before."""
        if self._skipped:
            answer["skipped"] = self._skipped
        self._out.write(json.dumps(answer).encode() + b"\n")
        self._skipped, self._told = {}, time.monotonic()

    def tell(self, opened: OpenCapture, log: PrivateLog) -> None:
        """Grab until the source gives nothing more. Newest wins: without a free slot a frame is let go at once."""
        capture, watch, clean = opened.capture, DamageWatch(), self._request.every
        log.take()
        while capture.grab():
            at = time.monotonic()
            kind = chr(int(capture.get(cv2.CAP_PROP_FRAME_TYPE)) & 0x7F)
            # JPEGs are not decoded by FFmpeg here; the reader of JPEG speaks for itself.
            damaged = not opened.jpeg and watch.is_damaged(log.take(), kind)
            clean = clean or not damaged
            if not clean:
                # It was joined in the middle: what comes before the first whole image is no fault.
                self._skip(JOINING)
            elif self._too_soon(at):
                self._skip("max_fps")
            elif (slot := self._slots.take(wait=self._request.every)) is None:
                self._skip("replaced")
            else:
                self._given = at
                self._give(opened, slot, at, damaged)
            if self._skipped and at - self._told > TELL_S:
                self.say()
        if self._skipped:
            self.say()
        self.say(ended=True)

    def _skip(self, reason: str) -> None:
        self._skipped[reason] = self._skipped.get(reason, 0) + 1

    def _too_soon(self, at: float) -> bool:
        fps = self._request.max_fps
        return fps is not None and at - self._given < 1 / fps

    def _give(self, opened: OpenCapture, slot: int, at: float, damaged: bool) -> None:
        try:
            image = None if damaged else retrieve_rgb(opened)
        except (ImageError, MemoryError):
            image = None
        if image is None or image.shape[0] * image.shape[1] > MAX_PIXELS:
            self.say(slot=slot, corrupt=True, at=at)
            return
        write(self._files[slot], image)
        self.say(slot=slot, shape=image.shape[:2], at=at)


def write(file: int, image: RgbImage) -> None:
    rest, written = image.data.cast("B"), 0
    while written < len(rest):
        written += os.pwrite(file, rest[written:], written)


def serve(files: tuple[int, ...]) -> None:
    """Read the request, open, tell, again if asked to; returns when the source ended or could not be opened."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    log = PrivateLog()
    request = CaptureRequest.from_line(sys.stdin.buffer.readline())
    teller = FrameTeller(request, files, Slots(sys.stdin.buffer), out)
    teller.say(ready=True)
    while (opened := open_capture(request)) is not None:
        capture = opened.capture
        teller.say(
            opened=True,
            fps=_finite(capture.get(cv2.CAP_PROP_FPS)),
            frames=_finite(capture.get(cv2.CAP_PROP_FRAME_COUNT)),
            refused=opened.refused,
        )
        teller.tell(opened, log)
        if not request.repeat:
            return
        capture.release()
    teller.say(failed=True)


def _finite(value: float) -> float:
    return value if 0 < value < 1e12 else 0.0


def _confine() -> None:
    # A terminal's Ctrl-C and a supervisor's SIGTERM go to every process; the agent ends this one itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    own = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (own + MEMORY, own + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FRAME, MAX_FRAME))
    # A core file would hold the image, and the address.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    cv2.setNumThreads(1)
    _confine()
    serve(tuple(map(int, sys.argv[1:])))
    # Without waiting for the thread that listens, or for a driver that hangs when it is closed.
    os._exit(0)
