"""Zeros in the middle of a JPEG: a block that was never written or never arrived.

They are valid codes, so no reader of JPEG complains, and all that follows them is shifted. But no encoder writes a run
of them where the code of zeros stands for a coefficient: 32 bytes would be a block whose 63 coefficients are all -1.
"""

from __future__ import annotations

import re
import struct

_HOLE = bytes(32)
_SEGMENT = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
_SEQUENTIAL = frozenset({0xC0, 0xC1})
_TABLES, _SCAN, _END = 0xC4, 0xDA, 0xD9
# The standard's first code for luminance: what a JPEG without tables of its own, as a camera sends, is written with.
_STANDARD = 0x01
_END_OF_BLOCK = 0x00


def has_hole(data: bytes) -> bool:
    """Whether a run of zeros stands where the codes of a whole JPEG's pixels should; false where it may be right."""
    if _HOLE not in data:
        return False
    first: dict[int, int] = {}
    components, position = 0, 2
    while found := _SEGMENT.search(data, position):
        marker, position = found.group(1)[0], found.end()
        if marker == _END or position + 2 > len(data):
            return False
        body = data[position + 2 : position + struct.unpack_from(">H", data, position)[0]]
        position += 2 + len(body)
        if marker == _TABLES:
            first |= _first_symbols(body)
        elif marker in _SEQUENTIAL and len(body) > 5:
            components = body[5]
        elif marker == _SCAN and len(body) > 2:
            return components == body[0] and _in_scan(data, position, first.get(body[2] & 15, _STANDARD))
    return False


def _in_scan(data: bytes, start: int, symbol: int) -> bool:
    """`symbol`: of the code of zeros. Where it ends a block, zeros are a plain area."""
    after = _SEGMENT.search(data, start)
    return symbol != _END_OF_BLOCK and data.find(_HOLE, start, len(data) if after is None else after.start()) >= 0


def _first_symbols(body: bytes) -> dict[int, int]:
    """AC table number -> the symbol of its first code, which is zeros."""
    found, place = {}, 0
    while place + 17 < len(body):
        kind, count = body[place], sum(body[place + 1 : place + 17])
        if kind >> 4 == 1:
            found[kind & 15] = body[place + 17]
        place += 17 + count
    return found
