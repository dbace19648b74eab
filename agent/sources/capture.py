"""OpenCV's VideoCapture as the sources see it: silent, with time-outs, and without secrets in any text."""

from __future__ import annotations

import os
import re
from typing import Any, Protocol

# Both print the address they failed to open, with its password. Read by OpenCV when ffmpeg is first used.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2

from fbclip.images.geometry import RgbImage

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
TIMEOUT_MS = 5000
_SECRETS = re.compile(r"//[^/?#]*@|[?#].*$")


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used; frames are BGR."""

    def isOpened(self) -> bool: ...

    def grab(self) -> bool: ...

    def retrieve(self) -> tuple[bool, Any]: ...

    def get(self, propId: int, /) -> float: ...

    def release(self) -> None: ...


def open_capture(target: int | str) -> Capture:
    """A device number or an address; check `isOpened`. Only a named backend keeps the time-outs."""
    if isinstance(target, int):
        return cv2.VideoCapture(target)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
    return cv2.VideoCapture(target, cv2.CAP_FFMPEG, limits)


def retrieve_rgb(capture: Capture) -> RgbImage | None:
    """The grabbed frame as (H,W,3) uint8 RGB; None when it cannot be decoded."""
    retrieved, frame = capture.retrieve()
    if not retrieved or frame is None:
        return None
    code = cv2.COLOR_GRAY2RGB if frame.ndim == 2 else cv2.COLOR_BGR2RGB
    rgb: RgbImage = cv2.cvtColor(frame, code)
    return rgb


def redact(url: str) -> str:
    """An address without user, password, query and fragment, which may each be a secret."""
    return _SECRETS.sub(lambda m: "//***@" if m.group().startswith("//") else "", url)
