"""OpenCV's VideoCapture, opened with time-outs and settings. Only ever used in the process of capture_worker.py: what
FFmpeg is told by the environment, and what it prints, are the whole process's."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Protocol

import cv2

from agent.sources.capture_request import CaptureRequest, DeviceSettings
from fbclip.errors import ImageError
from fbclip.images.decode import decode
from fbclip.images.geometry import RgbImage

_AUTO, _MANUAL = 3, 1
_TOLERANCE = 0.01
_JPEG_CODECS = {"MJPG", "mjpg", "JPEG", "jpeg", "mjpeg"}
_RAW = -1


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used; frames are BGR."""

    def isOpened(self) -> bool: ...

    def grab(self) -> bool: ...

    def retrieve(self) -> tuple[bool, Any]: ...

    def get(self, propId: int, /) -> float: ...

    def set(self, propId: int, value: float, /) -> bool: ...

    def release(self) -> None: ...


@dataclass(frozen=True, eq=False)
class OpenCapture:
    """An open capture. With `jpeg` it gives the bytes of JPEGs as they came; `refused`: settings not taken."""

    capture: Capture
    jpeg: bool
    refused: tuple[str, ...]


def open_capture(request: CaptureRequest) -> OpenCapture | None:
    """None where it cannot be opened. The time-outs given here are the backend's own, which it may break."""
    if isinstance(request.target, int) or request.target.startswith("/dev/"):
        capture: Capture = cv2.VideoCapture(request.target, cv2.CAP_V4L2)
        if not capture.isOpened():
            return None
        refused = apply_settings(capture, request.settings)
        return OpenCapture(capture, device_gives_jpeg(capture), refused)
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = ffmpeg_options(ffmpeg_version(), request.silence_s)
    limits = {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: int(1000 * request.open_s),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: int(1000 * request.silence_s),
        # Several threads decode ahead: frames come later, and what is said of damage not with the damaged frame.
        cv2.CAP_PROP_N_THREADS: 1,
    }
    capture = cv2.VideoCapture(request.target, cv2.CAP_FFMPEG, [x for pair in limits.items() for x in pair])
    return OpenCapture(capture, stream_gives_jpeg(capture), ()) if capture.isOpened() else None


def ffmpeg_version() -> int:
    """The major version of the FFmpeg that OpenCV was built with; libavformat 59 came with FFmpeg 5."""
    found = re.search(r"avformat:\s+YES \((\d+)\.", cv2.getBuildInformation())
    return int(found.group(1)) - 54 if found else 5


def ffmpeg_options(version: int, silence_s: float) -> str:
    """RTSP over TCP, where nothing is lost on the way, and its time-out, which FFmpeg 5 renamed (microseconds)."""
    name = "timeout" if version >= 5 else "stimeout"
    return f"rtsp_transport;tcp|{name};{int(1e6 * silence_s)}"


def apply_settings(capture: Capture, settings: DeviceSettings) -> tuple[str, ...]:
    """Set what is given, in the order in which drivers take it; returns what was not taken, one text each."""
    refused = []
    if settings.pixel_format is not None:
        code = cv2.VideoWriter.fourcc(*settings.pixel_format)
        capture.set(cv2.CAP_PROP_FOURCC, code)
    # Width and height are one setting to a driver: the first alone may name a size that it does not have.
    numbers = [
        ("width", cv2.CAP_PROP_FRAME_WIDTH, settings.width),
        ("height", cv2.CAP_PROP_FRAME_HEIGHT, settings.height),
        ("fps", cv2.CAP_PROP_FPS, settings.fps),
    ]
    automatic = settings.auto_exposure
    if automatic is None and settings.exposure is not None:
        automatic = False
    if automatic is not None:
        numbers.append(("auto_exposure", cv2.CAP_PROP_AUTO_EXPOSURE, _AUTO if automatic else _MANUAL))
    numbers += [("exposure", cv2.CAP_PROP_EXPOSURE, settings.exposure), ("gain", cv2.CAP_PROP_GAIN, settings.gain)]
    wanted = [(name, number, float(value)) for name, number, value in numbers if value is not None]
    for _, number, value in wanted:
        capture.set(number, value)
    # Asked when all is set: a driver may leave the format again over a size that it has in another one only.
    got = four_letters(capture.get(cv2.CAP_PROP_FOURCC))
    if settings.pixel_format is not None and got != settings.pixel_format:
        refused.append(f"pixel_format {settings.pixel_format} (it uses {got.strip() or 'another'})")
    for name, number, value in wanted:
        got_value = capture.get(number)
        if not abs(got_value - value) <= _TOLERANCE * max(1.0, abs(value)):
            shown = ("on" if automatic else "off") if name == "auto_exposure" else f"{value:g} (it uses {got_value:g})"
            refused.append(f"{name} {shown}")
    return tuple(refused)


def four_letters(code: float) -> str:
    """A pixel format's number as its name; what is no letter becomes `?`."""
    number = int(code) & 0xFFFFFFFF if code == code and abs(code) < 2**63 else 0  # noqa: PLR0124 - NaN
    text = number.to_bytes(4, "little").decode("latin-1")
    return re.sub(r"[^A-Za-z0-9 ]", "?", text)


def device_gives_jpeg(capture: Capture) -> bool:
    """Whether a device sends JPEGs and now gives them as they came: OpenCV's reader paints half a JPEG grey."""
    jpeg = four_letters(capture.get(cv2.CAP_PROP_FOURCC)) in _JPEG_CODECS
    return jpeg and capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)


def stream_gives_jpeg(capture: Capture) -> bool:
    """The same for a stream. One that is to be turned is left to OpenCV, which turns it."""
    turned = capture.get(cv2.CAP_PROP_ORIENTATION_META) != 0
    jpeg = four_letters(capture.get(cv2.CAP_PROP_FOURCC)) in _JPEG_CODECS
    return jpeg and not turned and capture.set(cv2.CAP_PROP_FORMAT, _RAW)


def retrieve_rgb(opened: OpenCapture) -> RgbImage:
    """The grabbed frame as (H,W,3) uint8 RGB; raises ImageError when it cannot be decoded, or not in whole."""
    retrieved, frame = opened.capture.retrieve()
    if not retrieved or frame is None:
        raise ImageError("corrupt", "the frame cannot be decoded")
    if opened.jpeg:
        return decode(frame.tobytes())
    if frame.dtype != "uint8":
        raise ImageError("unsupported_depth", "more than 8 bits a channel")
    code = {2: cv2.COLOR_GRAY2RGB}.get(frame.ndim, cv2.COLOR_BGR2RGB)
    rgb: RgbImage = cv2.cvtColor(frame, code)
    return rgb
