"""What the decoder's process answers, to a picture, a header or an ImageError.

Nothing of it is taken on trust, since whoever took the process over may answer anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from pydantic import ValidationError

from fbclip.errors import ImageError, SkippedScan
from fbclip.images.header import MAX_DECODED_SCAN
from fbclip.images.picture import Picture, ScanFacts
from fbclip.images.scans.series_order import SliceHeader

_MOST_FACTS = 64 << 20
_REASON = re.compile(r"[a-z0-9_]{1,40}")
Fill = Callable[[memoryview, int], bool]
"""Read from a place of the process's memory; false where it holds less."""


class NonsenseError(Exception):
    """No answer that a decoder of ours gives."""


def picture_of(answer: dict[str, Any], fill: Fill) -> Picture:
    """Raises the ImageError that was answered, or NonsenseError."""
    match answer:
        case {"shape": [*shape], "about": int(about), "unused_bits": int(unused)} if _possible(shape, about):
            pixels = np.empty(shape, np.uint8)
            facts = bytearray(about)
            if fill(pixels.reshape(-1).data, 0) and fill(memoryview(facts), pixels.nbytes):
                try:
                    scan = ScanFacts.model_validate_json(facts) if facts else None
                except ValidationError:
                    scan = None
                if (scan is None and not facts) or (scan is not None and len(scan.slices) == len(pixels)):
                    return Picture(pixels, scan, unused)
        case {"reason": str(reason), "detail": str(detail), "skipped": bool(skipped)} if _REASON.fullmatch(reason):
            raise (SkippedScan if skipped else ImageError)(reason, detail)
    raise NonsenseError


def header_of(answer: dict[str, Any], fill: Fill) -> SliceHeader | None:
    """None where the bytes are no DICOM. Raises the ImageError that was answered, or NonsenseError."""
    match answer:
        case {"header": 0}:
            return None
        case {"header": int(length)} if 0 < length <= _MOST_FACTS:
            text = bytearray(length)
            if fill(memoryview(text), 0):
                with suppress(ValidationError):
                    return SliceHeader.model_validate_json(text)
            raise NonsenseError
    # It may say why there is none.
    picture_of(answer, fill)
    raise NonsenseError


def _possible(shape: Sequence[object], about: int) -> bool:
    """Slices of grey, or of RGB, of no more bytes than were planned for."""
    sizes = [size for size in shape if isinstance(size, int) and size > 0]
    grey = len(sizes) == len(shape) == 3
    colour = len(sizes) == len(shape) == 4 and sizes[3] == 3
    return (grey or colour) and math.prod(sizes) <= MAX_DECODED_SCAN and 0 <= about <= _MOST_FACTS
