"""GIF and WebP stills: their blocks are walked to the end, so that a cut file and a moving image are found."""

from __future__ import annotations

import struct
from dataclasses import replace

from fbclip.errors import ImageError
from fbclip.images.header import Header
from fbclip.images.tiff_header import exif_orientation

GIF_MAGICS = (b"GIF87a", b"GIF89a")
_MAX_BLOCKS = 1_200_000
_MAX_CHUNKS = 1000
_ANIMATED = 0x02
# A lossy frame has no checksum and decodes whatever is there, but its coder never writes that many zeros: 5 at the
# most in images of up to 80 megapixels that are plain but for a corner.
_HOLE = bytes(64)


def read_gif(data: bytes) -> Header:
    """Raises ImageError: truncated, corrupt, multi_page, too_large."""
    try:
        return _gif(data)
    except (struct.error, IndexError) as error:
        raise ImageError("truncated", "the GIF ends before its end mark") from error


def _gif(data: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + _table(flags)
    header: Header | None = None
    blocks = 0
    while True:
        kind = data[position]
        if kind == 0x3B:
            if header is None:
                raise ImageError("corrupt", "the GIF holds no image")
            return header
        if kind == 0x2C:
            if header is not None:
                raise ImageError("multi_page", "a GIF of more than one image")
            left, top, across, down, flags = struct.unpack_from("<HHHHB", data, position + 1)
            if left + across > width or top + down > height:
                raise ImageError("corrupt", "the GIF's image is larger than the GIF")
            header = Header("GIF", width, height)
            position += 11 + _table(flags)
        elif kind == 0x21:
            position += 2
        else:
            raise ImageError("corrupt", "the GIF holds a block of an unknown kind")
        while size := data[position]:
            position += size + 1
            blocks += 1
            if blocks > _MAX_BLOCKS:
                raise ImageError("too_large", f"a GIF of more than {_MAX_BLOCKS} blocks")
        position += 1


def _table(flags: int) -> int:
    """Bytes of the colour table that `flags` announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def read_webp(data: bytes) -> Header:
    """Raises ImageError: truncated, corrupt, multi_page, too_large."""
    if len(data) < 12 or 8 + struct.unpack_from("<I", data, 4)[0] > len(data):
        raise ImageError("truncated", "the WebP is shorter than it says")
    header: Header | None = None
    orientation, position = 1, 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            break
        kind, size = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : position + 8 + min(size, 1 << 20)]
        if kind in {b"ANIM", b"ANMF"} or (kind == b"VP8X" and body and body[0] & _ANIMATED):
            raise ImageError("multi_page", "an animated WebP")
        if kind in {b"VP8 ", b"VP8L"} and header is None:
            header = _webp_frame(kind, body)
            if kind == b"VP8 " and data.find(_HOLE, position, position + 8 + size) >= 0:
                raise ImageError("corrupt", "a part of the WebP is zeros")
        elif kind == b"EXIF":
            orientation = exif_orientation(body)
        position += 8 + size + size % 2
    else:
        raise ImageError("too_large", f"a WebP of more than {_MAX_CHUNKS} chunks")
    if header is None:
        raise ImageError("corrupt", "the WebP holds no image")
    return replace(header, orientation=orientation)


def _webp_frame(kind: bytes, body: bytes) -> Header:
    try:
        if kind == b"VP8 ":
            mark, width, height = struct.unpack_from("<3sHH", body, 3)
            if mark != b"\x9d\x01\x2a":
                raise ImageError("corrupt", "the WebP has no key frame")
            return Header("WEBP", width & 0x3FFF, height & 0x3FFF)
        mark, bits = struct.unpack_from("<BI", body)
    except struct.error as error:
        raise ImageError("corrupt", "the WebP ends inside its frame") from error
    if mark != 0x2F:
        raise ImageError("corrupt", "the WebP has no lossless frame")
    return Header("WEBP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, channels=4)
