"""The strips of a TIFF: all there, and compressed ones checked to their ends.

What is not there is painted black, or with whatever follows in the file. libtiff stops as soon as a strip's rows are
full: it never comes to the checksum behind a deflate stream, and says nothing of a JPEG strip that was cut, nor of a
PackBits strip of another length. All would be judged on what it made up.
"""

from __future__ import annotations

import zlib

import simplejpeg

from fbclip.errors import ImageError
from fbclip.images.header import MAX_DECODED
from fbclip.images.tiff_header import TiffHeader

_STORED = 1
_DEFLATE = frozenset({8, 32946})
_JPEG = 7
_PACK_BITS = 32773
_STEP = 1 << 20


def check_strips(data: bytes, header: TiffHeader) -> None:
    """Raises ImageError `corrupt` for a strip or tile that is missing or has a wrong checksum, an early end, or a
    decoder's warning."""
    if len(header.strips) < header.parts:
        raise ImageError("corrupt", f"the TIFF has {len(header.strips)} strips or tiles, its image {header.parts}")
    stored = header.compression == _STORED and not header.halved
    if any(size < (header.unpacked(index) if stored else 1) for index, (_, size) in enumerate(header.strips)):
        raise ImageError("corrupt", "a strip of the TIFF holds fewer pixels than its rows have")
    try:
        for index, (offset, size) in enumerate(header.strips):
            if header.compression in _DEFLATE:
                _inflate(data[offset : offset + size])
            elif header.compression == _PACK_BITS:
                _unpack(data[offset : offset + size], header.unpacked(index))
            elif header.compression == _JPEG:
                # The tables that all strips share stand in a JPEG of their own, without an image.
                tables = data[header.tables[0] : sum(header.tables)]
                simplejpeg.decode_jpeg(tables[:-2] + data[offset + 2 * bool(tables) : offset + size], "GRAY")
    except (zlib.error, ValueError) as error:
        raise ImageError("corrupt", "a strip of the TIFF is damaged") from error


def _inflate(strip: bytes) -> None:
    stream = zlib.decompressobj()
    rest, total = strip, 0
    while not stream.eof:
        total += len(stream.decompress(rest, _STEP))
        if total > MAX_DECODED or (not stream.unconsumed_tail and not stream.eof):
            raise ValueError("the stream ends early, or never")
        rest = stream.unconsumed_tail


def _unpack(strip: bytes, expected: int) -> None:
    """Counts only: a run or a copy that leads beyond the pixels, or bytes left over, are damage."""
    position, total = 0, 0
    while total < expected and position < len(strip):
        count = strip[position]
        if count < 128:
            position += count + 2
            total += count + 1
        else:
            position += 2 if count > 128 else 1
            total += 257 - count if count > 128 else 0
    # One byte may follow, so that the next strip begins at an even place.
    if total != expected or not 0 <= len(strip) - position <= 1:
        raise ValueError("the runs do not add up to the strip's pixels")
