"""The segments of a JPEG file, walked in linear time: a cut file is found, and the end marker of a thumbnail is not
taken for the image's."""

from __future__ import annotations

import re
import struct
from dataclasses import replace

from fbclip.errors import ImageError
from fbclip.images.header import Header
from fbclip.images.tiff_header import exif_orientation

JPEG_MAGIC = b"\xff\xd8\xff"
# In scan data a 0xFF is followed by 0 (stuffing) or a restart; anything else is the next marker. Two bytes and no
# repetition, so that a run of fill bytes is passed once: a pattern with `+` takes the square of its length.
_NEXT_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
_MAX_SEGMENTS = 20_000
_MAX_SCANS = 100
_END, _SCAN, _EXIF = 0xD9, 0xDA, 0xE1
# Sequential and progressive with Huffman codes; lossless, hierarchical and arithmetic ones are hardly ever seen.
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_OTHER_FRAMES = frozenset({0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7})


def read_jpeg(data: bytes) -> Header:
    """Raises ImageError: truncated, corrupt, too_large, unsupported_jpeg."""
    header: Header | None = None
    orientation, scans, position = 1, 0, 2
    for _ in range(_MAX_SEGMENTS):
        found = _NEXT_MARKER.search(data, position)
        if found is None:
            raise ImageError("truncated", "the JPEG has no end marker")
        marker, position = found.group(1)[0], found.end()
        if marker == _END:
            if header is None or not scans:
                raise ImageError("corrupt", "the JPEG holds no image")
            return replace(header, orientation=orientation)
        if position + 2 > len(data):
            raise ImageError("truncated", "the JPEG ends inside a segment")
        length = struct.unpack_from(">H", data, position)[0]
        if marker in _FRAMES:
            if header is not None:
                raise ImageError("corrupt", "the JPEG has two frames")
            header = _frame(data, position, length)
        elif marker in _OTHER_FRAMES:
            raise ImageError("unsupported_jpeg", f"a JPEG of kind {marker:02X}")
        elif marker == _SCAN:
            scans += 1
            if scans > _MAX_SCANS:
                raise ImageError("too_large", f"a JPEG of more than {_MAX_SCANS} scans")
        elif marker == _EXIF and orientation == 1:
            orientation = exif_orientation(data[position + 2 : position + length])
        position += max(2, length)
    raise ImageError("too_large", f"a JPEG of more than {_MAX_SEGMENTS} segments")


def _frame(data: bytes, position: int, length: int) -> Header:
    if position + 8 > len(data) or length < 8:
        raise ImageError("truncated", "the JPEG ends inside its header")
    depth, height, width, components = struct.unpack_from(">BHHB", data, position + 2)
    if depth != 8 or components not in {1, 3, 4}:
        raise ImageError("unsupported_jpeg", f"a JPEG with {components} channels of {depth} bits")
    return Header("JPEG", width, height, depth, components)
