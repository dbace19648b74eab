"""Images of 10 or 12 bits in files of 16 look 16 to 64 times too dark: a line says so once, after a few files."""

from __future__ import annotations

import logging

from fbclip.images.picture import Picture
from fbclip.images.window import Window

log = logging.getLogger(__name__)
_LOOKED_AT = 8
_LEAST = 2


class DepthHint:
    """Owned by a line's source."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._unused: list[int] | None = []

    def look(self, picture: Picture, window: Window) -> None:
        """Another file of the line, decoded through `window`; a declared one needs no hint."""
        if self._unused is None or window not in {"dicom", "full"}:
            return
        self._unused.append(picture.unused_bits)
        least = min(self._unused)
        if len(self._unused) >= _LOOKED_AT or least < _LEAST:
            self._unused = None
            if least >= _LEAST:
                log.warning(
                    "line %s: its images use %d of their 16 bits, so they are seen %d times too dark; calibrate it "
                    "with --window 0,%d",
                    self._line,
                    16 - least,
                    1 << least,
                    (1 << (16 - least)) - 1,
                )
