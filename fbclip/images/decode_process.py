"""Decoding in a process of its own, which may be killed: a file that hangs, crashes or floods the decoder costs itself
a verdict, and nothing else."""

from __future__ import annotations

import errno
import json
import math
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from fbclip.errors import ImageError
from fbclip.images.decode_answer import NonsenseError, header_of, picture_of
from fbclip.images.decode_worker import KEPT_BYTES, DecodeRequest
from fbclip.images.header import MAX_BYTES, MAX_SERIES_BYTES
from fbclip.images.picture import Picture
from fbclip.images.scans.series_order import SliceHeader
from fbclip.images.window import DEFAULT_WINDOW, Window

SECONDS = 20
MEMORY = 2 << 30
START_S = 60.0
_LOOK_S = 0.2
# The process ends itself so much later than it is ended.
_LATER_S = 5
# What a slice of a series is given beside the time of one file.
_SLICE_S = 0.2


class DecodingCancelled(Exception):
    """The caller did not want to wait any longer; nothing is known of the file."""


class _Died(Exception):
    """The process ended without an answer."""


def _never() -> bool:
    return False


class DecodeProcess:
    """One process, started for the first image, reused for all others and replaced when it has died.

    Owned by one thread. `seconds` and `memory` (bytes) are the limits of one image.
    """

    def __init__(self, seconds: int = SECONDS, memory: int = MEMORY) -> None:
        self._seconds = seconds
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._source = self._target = -1

    def __enter__(self) -> DecodeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def make_ready(self, cancelled: Callable[[], bool] = _never) -> None:
        """Start the process unless it runs already. What happens until this returns is the fault of no image.

        Raises DecodingCancelled; OSError where no process can be started.
        """
        self._running(cancelled)

    def decode(self, data: bytes, cancelled: Callable[[], bool] = _never, window: Window = DEFAULT_WINDOW) -> Picture:
        """As `decode_picture` of fbclip/images/decode.py, with the process started if need be; `cancelled` is asked now
        and then.

        Raises its ImageErrors; ImageError `decode_timeout` and `decoder_died` where the process had to be
        killed or ended by itself, twice; DecodingCancelled; OSError where no process can be started.
        """
        request = DecodeRequest(task="picture", lengths=(len(data),), seconds=self._seconds + _LATER_S, window=window)
        return self._picture(self._ask_twice(data, request, cancelled))

    def header(self, data: bytes, cancelled: Callable[[], bool] = _never) -> SliceHeader | None:
        """As `slice_header` of fbclip/images/scans/series_header.py, None also for what is no DICOM; raises what
        `decode` raises."""
        request = DecodeRequest(task="header", lengths=(len(data),), seconds=self._seconds + _LATER_S)
        return self._header(self._ask_twice(data, request, cancelled))

    def series(
        self,
        files: Sequence[Callable[[], bytes]],
        ranks: Sequence[int],
        cancelled: Callable[[], bool] = _never,
        window: Window = DEFAULT_WINDOW,
    ) -> Picture:
        """As `read_series` of fbclip/images/scans/series.py, once: which file ended the process is not known then.

        Each of `files` gives its bytes. Raises what `decode` raises, and what the files raise.
        """
        self._running(cancelled)
        lengths = self._put((read() for read in files), MAX_SERIES_BYTES)
        seconds = self._seconds + math.ceil(len(files) * _SLICE_S)
        request = DecodeRequest(
            task="series", lengths=lengths, seconds=seconds + _LATER_S, window=window, ranks=tuple(ranks)
        )
        try:
            return self._picture(self._ask(request, cancelled))
        except _Died as error:
            raise ImageError("decoder_died", "decoding a series ended the decoder's process") from error

    def close(self) -> None:
        """End the process; the next image starts another. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                # What was not written to a process that died cannot be flushed now.
                with suppress(OSError):
                    pipe.close()
        os.close(self._source)
        os.close(self._target)

    def _ask_twice(self, data: bytes, request: DecodeRequest, cancelled: Callable[[], bool]) -> dict[str, Any]:
        """It may have been taken down with others when memory ran out: a file is guilty when it happens again."""
        try:
            return self._ask_of(data, request, cancelled)
        except _Died:
            try:
                return self._ask_of(data, request, cancelled)
            except _Died as error:
                raise ImageError("decoder_died", "decoding it ended the decoder's process") from error

    def _ask_of(self, data: bytes, request: DecodeRequest, cancelled: Callable[[], bool]) -> dict[str, Any]:
        self._running(cancelled)
        self._put([data], MAX_BYTES)
        return self._ask(request, cancelled)

    def _put(self, files: Iterable[bytes], most: int) -> tuple[int, ...]:
        """The files one after the other into the process's memory; returns their lengths. Raises ImageError."""
        lengths, at = [], 0
        for data in files:
            if at + len(data) > most:
                raise ImageError("too_large", f"more than {most} bytes")
            rest, written = memoryview(data), 0
            while written < len(rest):
                written += os.pwrite(self._source, rest[written:], at + written)
            at += len(data)
            lengths.append(len(data))
        return tuple(lengths)

    def _ask(self, request: DecodeRequest, cancelled: Callable[[], bool]) -> dict[str, Any]:
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(request.model_dump_json().encode() + b"\n")
            process.stdin.flush()
        except OSError as error:
            self.close()
            raise _Died from error
        answer = self._answer(process, request.seconds - _LATER_S, cancelled)
        if sum(request.lengths) > KEPT_BYTES:
            os.ftruncate(self._source, 0)
        if answer is None:
            self.close()
            raise ImageError("decode_timeout", f"not decoded within {request.seconds - _LATER_S} s")
        return answer

    def _running(self, cancelled: Callable[[], bool]) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        self._source, self._target = os.memfd_create("image"), os.memfd_create("pixels")
        numbers = (self._source, self._target, self._memory)
        self._process = process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", "fbclip.images.decode_worker", *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._source, self._target),
            env=bare_environment(),
            start_new_session=True,
        )
        try:
            ready = self._answer(process, START_S, cancelled)
        except _Died:
            ready = None
        if ready is None:
            self.close()
            raise OSError(errno.EAGAIN, "the decoder's process does not start")
        return process

    def _answer(
        self, process: subprocess.Popen[bytes], seconds: float, cancelled: Callable[[], bool]
    ) -> dict[str, Any] | None:
        """One line of the process, or None when none came in time. It writes a line at once or not at all."""
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if poll.poll(1000 * min(left, _LOOK_S)):
                line = process.stdout.readline(4096)
                try:
                    answer = json.loads(line)
                except ValueError as error:
                    self.close()
                    raise _Died from error
                if not isinstance(answer, dict):
                    self.close()
                    raise _Died
                return answer
            if cancelled():
                self.close()
                raise DecodingCancelled
        return None

    def _picture(self, answer: dict[str, Any]) -> Picture:
        try:
            return picture_of(answer, self._fill)
        except NonsenseError as error:
            raise self._nonsense() from error

    def _header(self, answer: dict[str, Any]) -> SliceHeader | None:
        try:
            return header_of(answer, self._fill)
        except NonsenseError as error:
            raise self._nonsense() from error

    def _nonsense(self) -> ImageError:
        self.close()
        return ImageError("decoder_died", "the decoder's process answered nonsense")

    def _fill(self, out: memoryview, at: int) -> bool:
        """Read from the process's memory; false where it holds less."""
        got = 0
        while got < len(out) and (count := os.preadv(self._target, [out[got:]], at + got)):
            got += count
        return got == len(out)


def bare_environment() -> dict[str, str]:
    """What Python needs and nothing else: the agent's own environment may hold passwords."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if name in os.environ}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    # Image buffers are kept from one image to the next, or each would fault its pages in again: a third of the time.
    malloc = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}
    return {**kept, **malloc, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
