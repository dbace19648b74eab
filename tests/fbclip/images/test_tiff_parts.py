"""Strips and tiles of a TIFF that are missing, short or empty are damage in every depth; and headers that mislead."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import pytest

from fbclip.errors import ImageError
from fbclip.images.decode import decode

HEIGHT, WIDTH, ROWS, TILE = 40, 56, 10, 16
COLOURS = np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
IMAGES = {
    "grey": COLOURS[:, :, :1],
    "colours": COLOURS,
    "deep": COLOURS[:, :, :1].astype("<u2") * 257,
    "deep colours": COLOURS.astype("<u2") * 257,
}
STORED, DEFLATE = 1, 8


def tiff(pixels: np.ndarray, parts: Sequence[bytes], tags: dict[int, Sequence[int]], tiled: bool = False) -> bytes:
    """Little endian, every value a LONG; `parts`: strips of ROWS rows, or tiles."""
    channels = pixels.shape[2]
    layout = {322: [TILE], 323: [TILE]} if tiled else {278: [ROWS]}
    known = {
        256: [pixels.shape[1]],
        257: [pixels.shape[0]],
        258: [8 * pixels.itemsize] * channels,
        262: [2 if channels == 3 else 1],
        277: [channels],
        324 if tiled else 273: [0] * len(parts),
        325 if tiled else 279: [len(part) for part in parts],
    }
    entries = dict(sorted((known | layout | tags).items()))
    tail = 8 + 2 + 12 * len(entries) + 4
    body = tail + sum(4 * len(values) for values in entries.values() if len(values) > 1)
    starts = np.cumsum([body, *map(len, parts)])[:-1].tolist()
    entries[324 if tiled else 273] = starts
    rows, longer = b"", b""
    for tag, values in entries.items():
        packed = struct.pack(f"<{len(values)}I", *values)
        where = packed if len(values) == 1 else struct.pack("<I", tail + len(longer))
        longer += b"" if len(values) == 1 else packed
        rows += struct.pack("<HHI", tag, 4, len(values)) + where
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + rows + bytes(4) + longer + b"".join(parts)


def strips(pixels: np.ndarray) -> list[bytes]:
    return [pixels[at : at + ROWS].tobytes() for at in range(0, HEIGHT, ROWS)]


def tiles(pixels: np.ndarray) -> list[bytes]:
    room = np.zeros((48, 64, pixels.shape[2]), pixels.dtype)
    room[:HEIGHT, :WIDTH] = pixels
    places = [(top, left) for top in range(0, 48, TILE) for left in range(0, 64, TILE)]
    return [room[top : top + TILE, left : left + TILE].tobytes() for top, left in places]


def without(parts: list[bytes], damage: str) -> list[bytes]:
    changed = {
        "missing": parts[:2],
        "empty": [parts[0], b"", *parts[2:]],
        "short": [parts[0], parts[1][:50], *parts[2:]],
    }
    return changed[damage]


def reason(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data)
    return caught.value.reason


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("compression", [STORED, DEFLATE])
def test_a_part_that_is_missing_empty_or_short_is_damage(kind, tiled, compression):
    pixels = IMAGES[kind]
    pack = zlib.compress if compression == DEFLATE else bytes
    parts = [pack(part) for part in (tiles(pixels) if tiled else strips(pixels))]
    expected = COLOURS if pixels.shape[2] == 3 else np.repeat(COLOURS[:, :, :1], 3, axis=2)
    assert np.array_equal(decode(tiff(pixels, parts, {259: [compression]}, tiled)), expected)
    for damage in ("missing", "empty", "short"):
        assert reason(tiff(pixels, without(parts, damage), {259: [compression]}, tiled)) == "corrupt", damage


def test_a_preview_of_an_image_that_is_elsewhere_is_not_judged_for_it():
    assert reason(tiff(COLOURS, strips(COLOURS), {259: [STORED], 254: [1]})) == "unsupported_tiff"


def test_a_colour_map_that_was_written_in_eight_bits_is_not_black():
    marks, levels = COLOURS[:, :, :1], np.random.default_rng(1).integers(0, 256, (3, 256))
    for scale in (1, 257):
        table = (levels * scale).reshape(-1).tolist()
        data = bytearray(tiff(marks, strips(marks), {259: [STORED], 262: [3], 320: table}))
        # A colour map is of SHORTs.
        at = data.find(struct.pack("<HHI", 320, 4, 768))
        start = struct.unpack_from("<I", data, at + 8)[0]
        struct.pack_into("<HHI", data, at, 320, 3, 768)
        data[start : start + 1536] = struct.pack("<768H", *table)
        assert np.array_equal(decode(bytes(data)), np.moveaxis(levels[:, marks[:, :, 0]], 0, -1))
