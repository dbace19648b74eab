"""One entry of `lines`: the source of its frames, the profile they are judged by, and when that is an alert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from agent.config.address import holds_password
from agent.config.base import RESERVED_NAMES, ConfigPath, Name, Section
from agent.records import EventKind, LineMode

# How long a frame may wait for the detector. One that is busy for longer with other lines is given a newer frame.
MAX_AGE_S = 5.0


class CameraSource(Section):
    """A V4L2 device number or a URL; `url_env` keeps a URL with a password out of the file.

    `stall_s` without a new frame is a fault. A frame that waited longer than `max_age_s` for the detector is dropped.
    Size, rate and exposure can be set on a device only; `exposure` and `gain` are in the driver's own units.
    """

    type: Literal["camera"]
    device: Annotated[int | None, Field(ge=0, le=1023)] = None
    url: Annotated[str | None, Field(min_length=1, max_length=2000)] = None
    url_env: Annotated[str | None, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,199}$")] = None
    width: Annotated[int | None, Field(ge=8, le=32_768)] = None
    height: Annotated[int | None, Field(ge=8, le=32_768)] = None
    fps: Annotated[float | None, Field(gt=0, le=10_000)] = None
    pixel_format: Annotated[str | None, Field(pattern=r"^[A-Z0-9]{3}[A-Z0-9 ]$")] = None
    auto_exposure: bool | None = None
    exposure: Annotated[float | None, Field(ge=-1_000_000, le=1_000_000)] = None
    gain: Annotated[float | None, Field(ge=-1_000_000, le=1_000_000)] = None
    max_fps: Annotated[float | None, Field(gt=0, le=10_000)] = None
    stall_s: Annotated[float, Field(gt=0, le=86_400)] = 10
    max_age_s: Annotated[float, Field(gt=0, le=86_400)] = MAX_AGE_S

    @model_validator(mode="after")
    def _one(self) -> CameraSource:
        if sum(x is not None for x in (self.device, self.url, self.url_env)) != 1:
            raise ValueError("needs exactly one of device, url, url_env")
        if self.url is not None and holds_password(self.url):
            raise ValueError("url must not hold a password; put the whole URL in an environment variable: url_env")
        return self

    @model_validator(mode="after")
    def _device_settings(self) -> CameraSource:
        given = [name for name in DEVICE_SETTINGS if getattr(self, name) is not None]
        if given and self.device is None:
            raise ValueError(f"{given[0]} can be set on a device only; set a network camera up on its own page")
        if self.auto_exposure and self.exposure is not None:
            raise ValueError("exposure has no effect with auto_exposure: true; name one of them")
        return self


DEVICE_SETTINGS = ("width", "height", "fps", "pixel_format", "auto_exposure", "exposure", "gain")


class VideoSource(Section):
    """A video file or a sequence of images: a folder, `part_*.png` or `part_%04d.png`.

    `realtime: true` plays it at its own speed like a camera, else every frame is judged. `fps` is the speed of a
    sequence, which names none itself, or replaces that of a file.
    """

    type: Literal["video"]
    path: ConfigPath
    realtime: bool = False
    loop: bool = False
    fps: Annotated[float | None, Field(gt=0, le=1000)] = None
    max_fps: Annotated[float | None, Field(gt=0, le=10_000)] = None


class FolderSource(Section):
    """A hot folder. Judged files move to `done` or `failed`, beside the folder unless told otherwise."""

    type: Literal["folder"]
    path: ConfigPath
    done: ConfigPath | None = None
    failed: ConfigPath | None = None
    recursive: bool = False
    settle_s: Annotated[float, Field(ge=0, le=3600)] = 1.0
    rescan_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    network: bool = False

    @property
    def done_dir(self) -> Path:
        return self.done or self.path.with_name(self.path.name + ".done")

    @property
    def failed_dir(self) -> Path:
        return self.failed or self.path.with_name(self.path.name + ".failed")

    @model_validator(mode="after")
    def _outside(self) -> FolderSource:
        for field in ("done", "failed"):
            value = getattr(self, field)
            if value is not None and (value == self.path or self.path in value.parents):
                raise ValueError(f"{field} must not be inside the watched folder")
        if self.done_dir == self.failed_dir:
            raise ValueError("done and failed must be different folders")
        return self


SourceSection = Annotated[CameraSource | VideoSource | FolderSource, Field(discriminator="type")]


class AlertSection(Section):
    """N of M frames above the threshold open an event; it ends after `close_after_ok` frames that are not."""

    on: tuple[EventKind, ...] = (EventKind.ANOMALY, EventKind.NO_VERDICT)
    n: Annotated[int, Field(ge=1, le=10_000)] = 1
    m: Annotated[int, Field(ge=1, le=10_000)] = 1
    close_after_ok: Annotated[int, Field(ge=1, le=1_000_000)] = 3
    max_open_s: Annotated[float, Field(gt=0, le=31_536_000)] = 300

    @model_validator(mode="before")
    @classmethod
    def _on(cls, value: Any) -> Any:
        """Writers of YAML 1.1 turn the key `on` into true."""
        if isinstance(value, dict) and True in value and "on" not in value:
            return {("on" if key is True else key): item for key, item in value.items()}
        return value

    @model_validator(mode="after")
    def _order(self) -> AlertSection:
        if self.n > self.m:
            raise ValueError(f"n {self.n} is larger than m {self.m}")
        return self


class LineSection(Section):
    """`adapter` is the line's own where it was tuned for it; without one the line uses `model.adapter`.

    `memory` is the folder of the normal images' tokens that the profile was measured with, where it was.
    `accept_blind`: a live line may run with a profile that has not shown to find even large defects.
    """

    name: Name
    source: SourceSection
    profile: ConfigPath | None = None
    adapter: ConfigPath | None = None
    memory: ConfigPath | None = None
    mode: LineMode = LineMode.LIVE
    privacy: Literal["none"] = "none"
    accept_blind: bool = False
    alert: AlertSection = AlertSection()

    @field_validator("name")
    @classmethod
    def _reserved(cls, value: str) -> str:
        if value in RESERVED_NAMES:
            raise ValueError(f"{value!r} is a reserved topic word")
        return value

    @model_validator(mode="after")
    def _needs_profile(self) -> LineSection:
        if self.mode is not LineMode.LEARNING and self.profile is None:
            raise ValueError(f"mode {self.mode} needs a profile (make one with `calibrate threshold`)")
        return self
