"""What FFmpeg says while it decodes -> whether the frame may be judged.

A decoder that misses data paints over it with what stood there before, and returns the frame as if nothing had been. It
only tells its log. What follows is predicted from that frame, up to the next frame that stands for itself.
"""

from __future__ import annotations

import re

_LINE = re.compile(r"^\[OPENCV:FFMPEG:(\d+)\] ?")
_ERROR, _WARNING = 16, 24
# Up to this level the log is needed: that a decoder painted over missing slices is only information to it.
LOG_LEVEL = 32
_CONCEALED = "concealing"
# Among the warnings, those of data that did not arrive.
_LOSS = re.compile(r"corrupt|missed|missing|concealing|lost|damaged|truncated|dropping", re.IGNORECASE)
# Errors that touch no pixel: notes beside the image, and times.
_HARMLESS = re.compile(r"\bSEI\b|timestamp|monoton|\bAPP\b|metadata|\bICC\b|Stream ends prematurely", re.IGNORECASE)
# A decoder may give frames back in another order than it met them in; the largest delay that H.264 allows.
_REORDERED = 16
_PREDICTED = frozenset("PBSpb")


def tells_of_damage(text: str) -> bool:
    """Whether lines of FFmpeg's log, as OpenCV writes them, tell of image data that was lost or wrong."""
    level = _ERROR
    for line in text.splitlines():
        head = _LINE.match(line)
        if head:
            level = int(head.group(1))
        said = line[head.end() :] if head else line
        if not said.strip():
            continue
        wrong = level <= _ERROR and not _HARMLESS.search(said)
        if wrong or _CONCEALED in said or (level == _WARNING and _LOSS.search(said)):
            return True
    return False


class DamageWatch:
    """Of one stream, asked once for each frame in the order in which they come."""

    def __init__(self) -> None:
        self._damaged = False
        self._since = 0

    def is_damaged(self, log: str, kind: str) -> bool:
        """`log`: what was said since the frame before; `kind`: I, P or B, something else where it is not known."""
        if tells_of_damage(log):
            self._damaged, self._since = True, 0
            return True
        self._since += 1
        if self._damaged and kind not in _PREDICTED and self._since > _REORDERED:
            self._damaged = False
        return self._damaged
