"""Small images that differ, and the same images damaged in every way."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import cv2
import numpy as np

FORMATS = (".png", ".jpg", ".bmp", ".tif", ".webp")


def noise(number: int, side: int = 40) -> np.ndarray:
    """(side,side,3) uint8; no two numbers give the same."""
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)


def encoded(number: int, suffix: str = ".png") -> bytes:
    done, data = cv2.imencode(suffix, noise(number))
    assert done
    return bytes(data)


def video(path: Path, frames: int = 100, fps: int = 25) -> Path:
    """Frames that all differ."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, (64, 64))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(noise(number, 64))
    writer.release()
    return path


def fuzzed(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of damaged files, the same for the same seed: cut, flipped, mislabelled, bombs."""
    random = Random(seed)
    kinds = (_cut, _flipped, _wrong_magic, _wrong_name, _header_lies, _bomb, _doubled, _filled)
    for number in range(count):
        suffix = FORMATS[number % len(FORMATS)]
        kind = kinds[(number // len(FORMATS)) % len(kinds)]
        data = bytearray(encoded(seed * 1_000_003 + number, suffix))
        # Each file its own bytes, so that a row can be told by its digest.
        yield f"{number:06d}{kind.__name__}{suffix}", bytes(kind(random, data)) + b"\0" + str(number).encode()


def _cut(random: Random, data: bytearray) -> bytearray:
    return data[: random.randrange(len(data))]


def _flipped(random: Random, data: bytearray) -> bytearray:
    for _ in range(random.choice((1, 8, 64))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return data


def _wrong_magic(random: Random, data: bytearray) -> bytearray:
    data[:8] = random.choice(
        (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\0\x10JF", b"II*\0\x08\0\0\0", b"RIFF\xff\xff\0\0")
    )
    return data


def _wrong_name(random: Random, data: bytearray) -> bytearray:
    return bytearray(random.randbytes(random.randrange(1, 4096)))


def _header_lies(random: Random, data: bytearray) -> bytearray:
    """Numbers near the head, where sizes and offsets stand, become large."""
    at = random.randrange(4, min(len(data) - 4, 64))
    data[at : at + 4] = random.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\xff\xff", b"\0\0\0\0"))
    return data


def _bomb(random: Random, data: bytearray) -> bytearray:
    """A PNG of a few kilobytes whose rows fill hundreds of megabytes, with honest header and sums."""
    side = random.choice((9_000, 20_000, 60_000))
    head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20), 9) * 2
    return bytearray(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b""))


def _doubled(random: Random, data: bytearray) -> bytearray:
    return data[: len(data) // 2] + data


def _filled(random: Random, data: bytearray) -> bytearray:
    """A hole of one value, as a writer leaves that went on elsewhere."""
    start = random.randrange(len(data))
    end = min(len(data), start + random.randrange(1, 2048))
    data[start:end] = bytes([random.choice((0, 255))]) * (end - start)
    return data


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
