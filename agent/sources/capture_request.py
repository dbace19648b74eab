"""What the process of a camera is told, and the limits of what it answers. It is read in that process too, which must
start quickly: nothing large is imported here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from fbclip.images.header import MAX_PIXELS

# Two frames on their way: one is read while the next is written.
SLOTS = 2
MAX_FRAME = 3 * MAX_PIXELS
LONGEST_LINE = 4096
# Why a frame was skipped: of a stream that was joined midway, before its first whole image.
JOINING = "joining"
# Counts of skipped frames are told at least so often while frames come.
TELL_S = 0.2


@dataclass(frozen=True)
class DeviceSettings:
    """As in agent.yaml; None is left to the driver."""

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    pixel_format: str | None = None
    auto_exposure: bool | None = None
    exposure: float | None = None
    gain: float | None = None


@dataclass(frozen=True, repr=False)
class CaptureRequest:
    """`target`: a device's number, or an address that may hold a password: never printed, never an argument.

    `every`: no frame is skipped, the process waits until there is room. `repeat`: at its end it is opened again.
    `open_s` and `silence_s`: seconds until it is open, and between two frames; whoever exceeds them is ended.
    """

    target: int | str
    open_s: float
    silence_s: float
    every: bool = False
    repeat: bool = False
    max_fps: float | None = None
    settings: DeviceSettings = DeviceSettings()

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> CaptureRequest:
        values = json.loads(line)
        return CaptureRequest(**{**values, "settings": DeviceSettings(**values["settings"])})
