"""How a scan is told from other files, without the libraries that read it: they take seconds to load."""

from __future__ import annotations

import zlib

GZIP = b"\x1f\x8b"
_HEAD = 544
"""Bytes that the longer of both headers of NIfTI takes, with what tells of extensions."""
_MAGICS = {344: (b"n+1\0", b"ni1\0"), 4: (b"n+2\0", b"ni2\0")}


def is_dicom(data: bytes) -> bool:
    """By the preamble that every DICOM file has."""
    return data[128:132] == b"DICM"


def is_nifti(data: bytes) -> bool:
    """By the header, of compressed files too."""
    head = nifti_head(data)
    return any(head[at : at + 4] in magics for at, magics in _MAGICS.items()) and _header_size(head) in {348, 540}


def nifti_head(data: bytes) -> bytes:
    """The first bytes of a file, unpacked where it is compressed; empty where that fails."""
    if not data.startswith(GZIP):
        return data[:_HEAD]
    try:
        return zlib.decompressobj(31).decompress(data[: 1 << 16], _HEAD)
    except zlib.error:
        return b""


def _header_size(head: bytes) -> int:
    little, big = (int.from_bytes(head[:4], order) for order in ("little", "big"))
    return little if little in {348, 540} else big
