"""The body of the decoder's process: reads bytes, writes pixels, until its input ends.

It holds nothing of value (the environment is empty of secrets), has limits of memory and time, and may die at any
moment. Started by `fbclip/images/decode_process.py`, never by hand: two numbers of open memory files as arguments, a
request on stdin as a line, one JSON line on stdout as the answer. What is known of a scan follows the pixels.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import cv2

from fbclip.errors import ImageError, SkippedScan
from fbclip.frozen import Frozen
from fbclip.images.decode import decode_picture
from fbclip.images.header import MAX_BYTES
from fbclip.images.picture import Picture
from fbclip.images.scans.signs import is_dicom
from fbclip.images.window import DEFAULT_WINDOW, Window

KEPT_BYTES = 64 << 20
Task = Literal["picture", "header", "series"]


class DecodeRequest(Frozen):
    """What is asked of the bytes that lie one after the other in the process's memory file, within so many seconds.

    picture: one file, decoded; header: what one file says of its series; series: several files as one volume.
    ranks: see `read_series`.
    """

    task: Task
    lengths: tuple[int, ...]
    seconds: int
    window: Window = DEFAULT_WINDOW
    ranks: tuple[int, ...] = ()


def serve(source: int, target: int, memory: int) -> None:
    """Answer until stdin ends. `memory`: bytes beyond what the process takes itself."""
    # A terminal's Ctrl-C and a supervisor's SIGTERM go to every process; what is asked for is still answered.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(1)
    _limit(memory)
    _say({"ready": True})
    for line in sys.stdin.buffer:
        request = DecodeRequest.model_validate_json(line)
        # Where the agent is gone, nobody else would end a decoder that hangs.
        signal.alarm(request.seconds)
        answer = _answer(source, target, request)
        signal.alarm(0)
        _say(answer)


def _answer(source: int, target: int, request: DecodeRequest) -> dict[str, Any]:
    try:
        picture = _picture(source, request)
    except ImageError as error:
        skipped = isinstance(error, SkippedScan)
        return {"reason": error.reason, "detail": str(error).partition(": ")[2], "skipped": skipped}
    except MemoryError:
        return {"reason": "too_large", "detail": "not enough memory to decode it", "skipped": False}
    if isinstance(picture, bytes):
        _write(target, memoryview(picture), 0)
        return {"header": len(picture)}
    pixels = picture.pixels
    about = b"" if picture.scan is None else picture.scan.model_dump_json().encode()
    if os.fstat(target).st_size > max(KEPT_BYTES, pixels.nbytes + len(about)):
        os.ftruncate(target, 0)
    _write(target, pixels.reshape(-1).data, 0)
    _write(target, memoryview(about), pixels.nbytes)
    return {"shape": pixels.shape, "about": len(about), "unused_bits": picture.unused_bits}


def _picture(source: int, request: DecodeRequest) -> Picture | bytes:
    """Or a header as JSON, empty of a file that belongs to no series."""
    starts = (0, *accumulate(request.lengths))
    files: list[Callable[[], bytes]] = [
        partial(_read, source, min(length, MAX_BYTES + 1), start)
        for length, start in zip(request.lengths, starts, strict=False)
    ]
    if request.task == "series":
        # The libraries that read scans take seconds to load, so only a scan loads them.
        from fbclip.images.scans.series import read_series

        return read_series(files, request.window, request.ranks)
    data = files[0]()
    if request.task == "picture":
        return decode_picture(data, request.window)
    if not is_dicom(data):
        return b""
    from fbclip.images.scans.series_header import slice_header

    header = slice_header(data)
    return b"" if header is None else header.model_dump_json().encode()


def _write(target: int, data: memoryview, at: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(target, data[written:], at + written)


def _read(source: int, length: int, start: int) -> bytes:
    data = bytearray(length)
    rest, got = memoryview(data), 0
    while got < length and (count := os.preadv(source, [rest[got:]], start + got)):
        got += count
    return bytes(data)


def _limit(memory: int) -> None:
    own = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (own + memory, own + memory))
    # A core file would hold the image.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:4]))
