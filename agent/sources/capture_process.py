"""A camera or video in a process of its own, which may be killed: a driver or decoder that hangs, crashes or floods
costs its line some frames, and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from agent.errors import SourceError
from agent.sources.capture_request import JOINING, LONGEST_LINE, SLOTS, CaptureRequest
from fbclip.images.decode_process import bare_environment
from fbclip.images.geometry import RgbImage
from fbclip.images.header import MAX_PIXELS

# The interpreter and OpenCV; on a machine that has just been switched on this takes seconds.
START_S = 30.0
# The backend's own time-outs get this much to end by themselves first.
GRACE_S = 0.5
_END_S = 1.0
_LOOK_S = 0.2
CORRUPT = "corrupt"
_REASONS = ("replaced", "max_fps", JOINING)


class CaptureFailed(SourceError):
    """The source gives no more frames in this process; its text says why, without an address."""


class CaptureCancelled(Exception):
    """The caller did not want to wait any longer."""


@dataclass(frozen=True)
class Opened:
    """What an open source says of itself; 0 where it does not know. `refused`: settings that it did not take."""

    fps: float = 0.0
    frames: float = 0.0
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Taken:
    """One turn: a frame grabbed `at` (monotonic s), with a `reason` where it is no image, or only frames skipped."""

    at: float
    image: RgbImage | None = None
    reason: str | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)


class Capturing(Protocol):
    """An open source, wherever it runs. All methods raise CaptureFailed and CaptureCancelled."""

    def open(self) -> Opened:
        """Also once more, after the end of a source that repeats."""

    def next(self) -> Taken | None:
        """The next turn; None at the end."""

    def close(self) -> bool:
        """End it; false where it cannot be ended now."""

    @property
    def alive(self) -> bool: ...


def _never() -> bool:
    return False


class CaptureProcess:
    """Owned by one thread. `cancelled` is asked a few times a second while it waits."""

    def __init__(self, request: CaptureRequest, cancelled: Callable[[], bool] = _never) -> None:
        self._request = request
        self._cancelled = cancelled
        self._process: subprocess.Popen[bytes] | None = None
        self._files: tuple[int, ...] = ()
        self._rest = b""

    @property
    def alive(self) -> bool:
        """Also after it was killed, where a driver holds it."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def open(self) -> Opened:
        """Start the process and open the source in it, within the limits. After the end of a source that repeats, the
        same process opens it again."""
        if self._process is None:
            self._start()
        seconds = self._request.open_s
        match self._answer(seconds + GRACE_S, f"not open within {seconds:g} s"):
            case {"failed": True}:
                raise CaptureFailed("cannot be opened")
            case {
                "opened": True,
                "fps": int() | float() as fps,
                "frames": int() | float() as frames,
                "refused": list(r),
            }:
                return Opened(float(fps), float(frames), tuple(str(text)[:200] for text in r[:10]))
        raise self._nonsense()

    def next(self) -> Taken | None:
        seconds = self._request.silence_s
        answer = self._answer(seconds + GRACE_S, f"no frame came for {seconds:g} s")
        skipped = self._skipped(answer.get("skipped", {}))
        # Nothing is taken on trust: whoever took the process over may answer anything.
        now = time.monotonic()
        match answer:
            case {"ended": True}:
                return None
            case {"slot": int(slot), "at": float(at), **rest} if 0 <= slot < SLOTS:
                at = min(at, now)
                image = None if rest.get("corrupt") is True else self._image(slot, rest.get("shape"))
                self._tell(b"%d\n" % slot)
                return Taken(at, image, CORRUPT if image is None else None, skipped)
            case {"skipped": _}:
                return Taken(now, skipped=skipped)
        raise self._nonsense()

    def close(self) -> bool:
        files, self._files = self._files, ()
        for file in files:
            os.close(file)
        process = self._process
        if process is None:
            return True
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _start(self) -> None:
        try:
            process = self._begin()
        except OSError as error:
            raise CaptureFailed(f"no process can be started: {error.strerror}") from error
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._tell(self._request.to_line())
        if "ready" not in self._answer(START_S, f"its process does not start within {START_S:g} s"):
            raise self._nonsense()

    def _begin(self) -> subprocess.Popen[bytes]:
        self._files = tuple(os.memfd_create("frame") for _ in range(SLOTS))
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", "agent.sources.capture_worker", *map(str, self._files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=self._files,
            env=bare_environment(),
            start_new_session=True,
        )
        return self._process

    def _tell(self, line: bytes) -> None:
        assert self._process is not None and self._process.stdin is not None
        # It may have ended after its last words, which are still to be read; then its end is met there.
        with contextlib.suppress(OSError):
            self._process.stdin.write(line)

    def _answer(self, seconds: float, late: str) -> dict[str, Any]:
        """The next line. It is looked for before the time is: this process may itself have been stopped meanwhile."""
        assert self._process is not None and self._process.stdout is not None
        pipe = self._process.stdout
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        until = time.monotonic() + seconds
        while b"\n" not in self._rest:
            left = until - time.monotonic()
            if poll.poll(1000 * max(0.0, min(left, _LOOK_S))):
                data = pipe.read(LONGEST_LINE)
                if not data:
                    raise self._died()
                self._rest += data
                if len(self._rest) > 64 * LONGEST_LINE:
                    raise self._nonsense()
            elif self._cancelled():
                raise CaptureCancelled
            elif left <= 0:
                raise CaptureFailed(late)
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise self._nonsense() from error
        if not isinstance(answer, dict):
            raise self._nonsense()
        return answer

    def _skipped(self, counts: object) -> Mapping[str, int]:
        if not isinstance(counts, dict):
            raise self._nonsense()
        for reason, count in counts.items():
            if reason not in _REASONS or not isinstance(count, int) or not 0 < count < 1_000_000:
                raise self._nonsense()
        return counts

    def _image(self, slot: int, shape: object) -> RgbImage:
        match shape:
            case [int(height), int(width)] if height > 0 < width and height * width <= MAX_PIXELS:
                image = np.empty((height, width, 3), np.uint8)
                rest, got = image.data.cast("B"), 0
                while got < len(rest) and (count := os.preadv(self._files[slot], [rest[got:]], got)):
                    got += count
                if got == len(rest):
                    return image
        raise self._nonsense()

    def _died(self) -> CaptureFailed:
        assert self._process is not None
        try:
            code: int | None = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            code = None
        return CaptureFailed(
            "its process ended" if code is None or code >= 0 else f"its process died of signal {-code}"
        )

    @staticmethod
    def _nonsense() -> CaptureFailed:
        return CaptureFailed("its process answered nonsense")
