"""The body of the decoder's process: reads bytes, writes pixels, until its input ends.

It holds nothing of value (the environment is empty of secrets), has limits of memory and time, and may die at any
moment. Started by `fbclip/images/decode_process.py`, never by hand: two numbers of open memory files as arguments, the
length of the next image and its window on stdin as a line, one JSON line on stdout as the answer. What is known of a
scan follows the pixels.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import cv2
from pydantic import TypeAdapter

from fbclip.errors import ImageError, SkippedScan
from fbclip.images.decode import decode_picture
from fbclip.images.header import MAX_BYTES
from fbclip.images.window import Window

KEPT_BYTES = 64 << 20
_WINDOW: TypeAdapter[Window] = TypeAdapter(Window)


def serve(source: int, target: int, memory: int, seconds: int) -> None:
    """Answer until stdin ends. `memory`: bytes beyond what the process takes itself; `seconds`: for one image."""
    # A terminal's Ctrl-C and a supervisor's SIGTERM go to every process; what is asked for is still answered.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(1)
    _limit(memory)
    _say({"ready": True})
    for line in sys.stdin.buffer:
        # Where the agent is gone, nobody else would end a decoder that hangs.
        signal.alarm(seconds)
        length, window = line.split(b" ", 1)
        answer = _answer(source, target, int(length), _WINDOW.validate_json(window))
        signal.alarm(0)
        _say(answer)


def _answer(source: int, target: int, length: int, window: Window) -> dict[str, Any]:
    try:
        picture = decode_picture(_read(source, min(length, MAX_BYTES + 1)), window)
    except ImageError as error:
        skipped = isinstance(error, SkippedScan)
        return {"reason": error.reason, "detail": str(error).partition(": ")[2], "skipped": skipped}
    except MemoryError:
        return {"reason": "too_large", "detail": "not enough memory to decode it", "skipped": False}
    pixels = picture.pixels
    about = b"" if picture.scan is None else picture.scan.model_dump_json().encode()
    if os.fstat(target).st_size > max(KEPT_BYTES, pixels.nbytes + len(about)):
        os.ftruncate(target, 0)
    _write(target, pixels.reshape(-1).data, 0)
    _write(target, memoryview(about), pixels.nbytes)
    return {"shape": pixels.shape, "about": len(about), "unused_bits": picture.unused_bits}


def _write(target: int, data: memoryview, at: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(target, data[written:], at + written)


def _read(source: int, length: int) -> bytes:
    data = bytearray(length)
    rest, got = memoryview(data), 0
    while got < length and (count := os.preadv(source, [rest[got:]], got)):
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
    serve(*map(int, sys.argv[1:5]))
