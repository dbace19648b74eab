"""Small files that ask for much: refused from their headers, in time that grows with the file's length alone."""

from __future__ import annotations

import struct
import time
import zlib

import pytest

from fbclip.errors import ImageError
from fbclip.images.decode import decode
from fbclip.images.header import MAX_DECODED, Header
from fbclip.images.tiff_header import exif_orientation

MOMENT_S = 2.0
JFIF = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
FRAME = b"\xff\xc0\x00\x0b\x08\x00\x40\x00\x40\x01\x01\x11\x00"
SCAN = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"


def png(width: int, height: int, depth: int, colours: int, chunks: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunks + chunk(b"IEND", b"")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def many_tags() -> bytes:
    """Each entry claims 262,144 values in the same place."""
    entries = [struct.pack("<HHII", 273, 4, 1 << 18, 8)] * 4000
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 4000) + b"".join(entries) + bytes(1 << 21)


ATTACKS = {
    "fill bytes": (JFIF + b"\xff" * (4 << 20) + b"\x00\xff\xd9", "corrupt"),
    "fill bytes in a scan": (JFIF + FRAME + SCAN + b"\xff" * (4 << 20) + b"\xff\xd9", "corrupt"),
    "stuffed bytes": (JFIF + FRAME + SCAN + b"\xff\x00" * (2 << 20) + b"\xff\xd9", "corrupt"),
    "segments": (b"\xff\xd8" + b"\xff\xe0\x00\x02" * (1 << 20) + b"\xff\xd9", "too_large"),
    "scans": (JFIF + FRAME + SCAN * 1000 + b"\xff\xd9", "too_large"),
    "chunks": (png(64, 64, 8, 2, chunk(b"IDAT", b"") * 300_000), "too_large"),
    "deep channels": (png(8000, 8000, 16, 6, chunk(b"IDAT", b"")), "too_large"),
    "blocks": (b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0, 0, 0) + b"\x21\xfe" + b"\1\1" * 2_000_000, "too_large"),
    "tags": (many_tags(), "corrupt"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_refused_within_a_moment(name):
    data, reason = ATTACKS[name]
    started = time.perf_counter()
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert caught.value.reason == reason
    # The quadratic reader took 13 s for 49 KiB of fill bytes, hours for these.
    assert time.perf_counter() - started < MOMENT_S


def test_a_tile_larger_than_its_image_counts():
    wide = Header("TIFF", 64, 64, 8, 3, block=20_000 * 20_000)
    assert wide.decoded_bytes > MAX_DECODED
    assert Header("PNG", 8000, 10_000).decoded_bytes <= MAX_DECODED


def test_an_exif_block_of_nonsense_names_no_orientation():
    assert exif_orientation(b"Exif\0\0" + many_tags()[: 1 << 16]) == 1
