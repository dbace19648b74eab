"""The body of the decoder's process: reads bytes, writes pixels, until its input ends.

It holds nothing of value (the environment is empty of secrets), has limits of memory and time, and may die at any
moment. Started by `fbclip/images/decode_process.py`, never by hand: two numbers of open memory files as arguments, the
length of the next image on stdin as a line, one JSON line on stdout as the answer.
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

from fbclip.errors import ImageError
from fbclip.images.decode import decode
from fbclip.images.header import MAX_BYTES

KEPT_BYTES = 64 << 20


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
        answer = _answer(source, target, int(line))
        signal.alarm(0)
        _say(answer)


def _answer(source: int, target: int, length: int) -> dict[str, Any]:
    try:
        image = decode(_read(source, min(length, MAX_BYTES + 1)))
    except ImageError as error:
        return {"reason": error.reason, "detail": str(error).partition(": ")[2]}
    except MemoryError:
        return {"reason": "too_large", "detail": "not enough memory to decode it"}
    if os.fstat(target).st_size > max(KEPT_BYTES, image.nbytes):
        os.ftruncate(target, 0)
    rest, written = image.data.cast("B"), 0
    while written < len(rest):
        written += os.pwrite(target, rest[written:], written)
    return {"shape": image.shape[:2]}


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
