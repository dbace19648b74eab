"""Image headers, read before anything is decoded: size, depth, and whether the file is whole.

A decoder believes what the header says and allocates that much; and it paints a cut JPEG as if it were
whole, grey below the cut, which would be judged as a defect. So both are checked here first.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from typing import Literal

from fbclip.errors import ImageError

Format = Literal["PNG", "JPEG", "BMP", "TIFF"]
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
TIFF_MAGICS = {b"II*\0": "<", b"MM\0*": ">"}
# In JPEG scan data a 0xFF is followed by 0 (stuffing) or a restart; anything else is the next marker.
_NEXT_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])", re.DOTALL)
_TIFF_SIZES = {1: 1, 3: 2, 4: 4}
_TIFF_CODES = {1: "B", 3: "H", 4: "I"}
_MAX_TIFF_VALUES = 1 << 20


@dataclass(frozen=True)
class Header:
    """What the file says of itself; `depth` is bits per channel."""

    format: Format
    width: int
    height: int
    depth: int


def read_header(data: bytes) -> Header:
    """Header of a whole file.

    Raises ImageError: empty, not_an_image, truncated, corrupt, multi_page, unsupported_scan.
    """
    if not data:
        raise ImageError("empty")
    if is_scan(data):
        raise ImageError("unsupported_scan", "DICOM and NIfTI are not read by this version")
    if data.startswith(PNG_MAGIC):
        return _png(data)
    if data.startswith(JPEG_MAGIC):
        return _jpeg(data)
    if data[:4] in TIFF_MAGICS:
        return _tiff(data, TIFF_MAGICS[data[:4]])
    if data.startswith(b"BM") and len(data) >= 6:
        return _bmp(data)
    if any(magic.startswith(data) for magic in (PNG_MAGIC, JPEG_MAGIC, b"BM", *TIFF_MAGICS)):
        raise ImageError("truncated", "only the first bytes are there")
    raise ImageError("not_an_image", "neither PNG, JPEG, TIFF nor BMP")


def is_scan(data: bytes) -> bool:
    """DICOM or uncompressed NIfTI, by their magic words."""
    return data[128:132] == b"DICM" or (
        data[344:348] in {b"n+1\0", b"ni1\0"} and data[:4] in {b"\x5c\1\0\0", b"\0\0\1\x5c"}
    )


def _png(data: bytes) -> Header:
    header: Header | None = None
    position = len(PNG_MAGIC)
    while True:
        if position + 12 > len(data):
            raise ImageError("truncated", "the PNG ends before its end chunk")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ImageError("truncated", "the PNG ends inside a chunk")
        body = memoryview(data)[position + 8 : end - 4]
        if zlib.crc32(body, zlib.crc32(kind)) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ImageError("corrupt", "a PNG chunk has the wrong checksum")
        if header is None:
            if kind != b"IHDR" or length != 13:
                raise ImageError("corrupt", "the PNG does not begin with its header")
            width, height, depth = struct.unpack_from(">IIB", body)
            header = Header("PNG", width, height, depth)
        elif kind == b"acTL":
            raise ImageError("multi_page", "an animated PNG")
        elif kind == b"IEND":
            return header
        position = end


def _jpeg(data: bytes) -> Header:
    """Walks the segments, so that the end marker of a thumbnail inside one is not taken for the image's."""
    header: Header | None = None
    position = 2
    while True:
        found = _NEXT_MARKER.search(data, position)
        if found is None:
            raise ImageError("truncated", "the JPEG has no end marker")
        marker, position = found.group(1)[0], found.end()
        if marker == 0xD9:
            if header is None:
                raise ImageError("corrupt", "the JPEG holds no image")
            return header
        if position + 2 > len(data):
            raise ImageError("truncated", "the JPEG ends inside a segment")
        length = struct.unpack_from(">H", data, position)[0]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            if position + 7 > len(data) or length < 8:
                raise ImageError("truncated", "the JPEG ends inside its header")
            depth, height, width = struct.unpack_from(">BHH", data, position + 2)
            header = Header("JPEG", width, height, depth)
        position += max(2, length)


def _bmp(data: bytes) -> Header:
    if len(data) < 30:
        raise ImageError("truncated", "the BMP ends inside its header")
    offset, info = struct.unpack_from("<II", data, 10)
    if info < 40:
        raise ImageError("not_an_image", "not a BMP of this century")
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18) if len(data) >= 34 else (0,) * 5
    # Height is negative where the rows run from top to bottom.
    height = abs(height)
    if width <= 0 or height == 0:
        raise ImageError("corrupt", "the BMP has no size")
    if compression in {0, 3} and offset + (width * bits + 31) // 32 * 4 * height > len(data):
        raise ImageError("truncated", "the BMP holds fewer rows than it says")
    return Header("BMP", width, height, 8)


def _tiff(data: bytes, order: str) -> Header:
    try:
        (first,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, first)
        tags = {}
        for index in range(count):
            tag, kind, number = struct.unpack_from(order + "HHI", data, first + 2 + 12 * index)
            if kind in _TIFF_SIZES and number <= _MAX_TIFF_VALUES:
                at = first + 10 + 12 * index
                if _TIFF_SIZES[kind] * number > 4:
                    (at,) = struct.unpack_from(order + "I", data, at)
                tags[tag] = struct.unpack_from(f"{order}{number}{_TIFF_CODES[kind]}", data, at)
        (following,) = struct.unpack_from(order + "I", data, first + 2 + 12 * count)
    except struct.error as error:
        raise ImageError("truncated", "the TIFF ends inside its directory") from error
    if following:
        raise ImageError("multi_page", "a TIFF of more than one page")
    width, height = tags.get(256, (0,)), tags.get(257, (0,))
    offsets, sizes = tags.get(273, tags.get(324)), tags.get(279, tags.get(325))
    if not offsets or not sizes or len(offsets) != len(sizes) or not width or not height:
        raise ImageError("corrupt", "the TIFF does not say where its image is")
    if max(o + s for o, s in zip(offsets, sizes, strict=True)) > len(data):
        raise ImageError("truncated", "the TIFF ends inside its image")
    return Header("TIFF", width[0], height[0], max(tags.get(258, (1,)), default=1))
