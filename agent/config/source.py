"""Where the frames of a line come from: camera, video, hot folder or DICOM receiver; and when one is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from agent.config.address import holds_password
from agent.config.base import ConfigPath, Section, is_loopback

# Images that triggers may hold in memory on one line.
MOST_IMAGES = 64
MOST_FRAMES = 16

# How long a frame may wait for the detector. One that is busy for longer with other lines is given a newer frame.
MAX_AGE_S = 5.0


class TriggeredSection(Section):
    """When an image is judged: each one as it comes, or `frames` for each trigger, which is answered in `answer_s`.

    `queue`: most triggers that wait for their answer. `delay_s`: an image is taken at the earliest so long after its
    trigger, for a camera that shows what was before it a moment ago.
    """

    trigger: Literal["continuous", "interval", "mqtt"] = "continuous"
    interval_s: Annotated[float | None, Field(ge=0.05, le=86_400)] = None
    frames: Annotated[int, Field(ge=1, le=MOST_FRAMES)] = 1
    answer_s: Annotated[float, Field(ge=0.05, le=3600)] = 5.0
    delay_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    queue: Annotated[int, Field(ge=1, le=MOST_IMAGES)] = 8

    @property
    def triggered(self) -> bool:
        return self.trigger != "continuous"

    @model_validator(mode="after")
    def _together(self) -> TriggeredSection:
        given = self.model_fields_set & {"interval_s", "frames", "answer_s", "delay_s", "queue"}
        if not self.triggered and given:
            raise ValueError(f"{', '.join(sorted(given))}: only with trigger: mqtt or trigger: interval")
        if (self.trigger == "interval") != (self.interval_s is not None):
            raise ValueError("interval_s belongs to trigger: interval, which needs it")
        if self.trigger == "interval" and "queue" in given:
            raise ValueError("queue: only with trigger: mqtt; an interval waits for the one before")
        if self.delay_s >= self.answer_s:
            raise ValueError(f"delay_s {self.delay_s:g} leaves no time for the answer in answer_s {self.answer_s:g}")
        if self.frames * self.queue > MOST_IMAGES:
            raise ValueError(f"frames {self.frames} x queue {self.queue} is more than {MOST_IMAGES} images in memory")
        return self


DeviceNumber = Annotated[int, Field(ge=0, le=1023)]
DeviceName = Annotated[str, Field(pattern=r"^/dev/[A-Za-z0-9_.:+/-]{1,200}$")]


class CameraSource(TriggeredSection):
    """A V4L2 device, by number or by a name below /dev that udev gave it, or a URL.

    `url_env` keeps a URL with a password out of the file.
    `stall_s` without a new frame is a fault. A frame that waited longer than `max_age_s` for the detector is dropped.
    Size, rate and exposure can be set on a device only; `exposure` and `gain` are in the driver's own units.
    """

    type: Literal["camera"]
    device: DeviceNumber | DeviceName | None = None
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


class VideoSource(TriggeredSection):
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

    @model_validator(mode="after")
    def _plays(self) -> VideoSource:
        if self.triggered and not self.realtime:
            raise ValueError(f"trigger: {self.trigger} needs realtime: true, else every frame is judged")
        return self


Pattern = Annotated[str, Field(min_length=1, max_length=200)]


class FolderSource(Section):
    """A hot folder. Judged files go to `done` or `failed`, beside the folder unless told otherwise.

    `include`, `ignore`: patterns of names; none means every file. `network`: polled, because other machines write
    there; unless told, it is seen by the kind of the file system. `after`: judged files are moved, or stay and are
    copied, or only stay. `judge: content`: bytes that have a verdict get no second one. `sidecar`: the result as JSON,
    with an overlay, in `done` or `failed`. `series_s`: DICOM files of one series are one volume with one
    verdict, judged when so long no new one came. `mount`: the mount point that must be there, with `/` none; unless
    told, the file system that held the folder in an earlier run, or that /etc/fstab names, must be. `shared`: several
    agents empty the folder together, each file once, with the same `store.url` and the same name of the line.
    """

    type: Literal["folder"]
    path: ConfigPath
    mount: ConfigPath | None = None
    done: ConfigPath | None = None
    failed: ConfigPath | None = None
    recursive: bool = False
    include: Annotated[tuple[Pattern, ...], Field(max_length=100)] = ()
    ignore: Annotated[tuple[Pattern, ...], Field(max_length=100)] = ()
    settle_s: Annotated[float, Field(ge=0, le=3600)] = 1.0
    rescan_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    network: bool | None = None
    after: Literal["move", "copy", "leave"] = "move"
    judge: Literal["file", "content"] = "file"
    sidecar: bool = False
    series_s: Annotated[float | None, Field(gt=0, le=86_400)] = None
    shared: bool = False

    @property
    def done_dir(self) -> Path:
        return self.done or self.path.with_name(self.path.name + ".done")

    @property
    def failed_dir(self) -> Path:
        return self.failed or self.path.with_name(self.path.name + ".failed")

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where its files lie, before and after their verdict."""
        return (self.path, self.done_dir, self.failed_dir)

    @property
    def fills_outputs(self) -> bool:
        """Whether anything is ever written into `done` and `failed`."""
        return self.after != "leave" or self.sidecar

    @model_validator(mode="after")
    def _outside(self) -> FolderSource:
        for field in ("done", "failed"):
            value = getattr(self, field)
            if value is not None and (value == self.path or self.path in value.parents):
                raise ValueError(f"{field} must not be inside the watched folder")
        if self.done_dir == self.failed_dir:
            raise ValueError("done and failed must be different folders")
        return self

    @model_validator(mode="after")
    def _one_by_one(self) -> FolderSource:
        if self.shared and self.after != "move":
            raise ValueError(f"after: {self.after}: not with shared: true, where a judged file leaves the folder")
        if self.shared and (self.judge != "file" or self.series_s is not None):
            raise ValueError("judge: content and series_s: not with shared: true; no agent sees the files of another")
        return self


AeTitle = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,16}$")]


class DicomSource(FolderSource):
    """A DICOM receiver (C-STORE) before a hot folder of its own, `received/<line>/in` in the data directory.

    `allow`: AE titles that may send, which any address but loopback needs; a title is a name, no proof.
    `object_mb`: the largest object that is taken.
    """

    # The whole configuration knows where the folder is.
    model_config = ConfigDict(json_schema_extra=lambda schema: schema["required"].remove("path"))

    type: Literal["dicom"]  # type: ignore[assignment]
    ae_title: AeTitle = "FBCLIP"
    listen: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 11_112
    allow: Annotated[tuple[AeTitle, ...], Field(max_length=100)] = ()
    associations: Annotated[int, Field(ge=1, le=64)] = 4
    timeout_s: Annotated[float, Field(ge=1, le=3600)] = 30
    object_mb: Annotated[float, Field(gt=0, le=1024)] = 512
    # A received object stands whole under its name from the first moment.
    settle_s: Annotated[float, Field(ge=0, le=3600)] = 0

    @model_validator(mode="after")
    def _open_to_few(self) -> DicomSource:
        if not is_loopback(self.listen) and not self.allow:
            raise ValueError("listen is not loopback: name the AE titles that may send as allow")
        if self.recursive or self.network or self.shared or self.after != "move":
            raise ValueError("recursive, network, shared and after: not with type: dicom, which fills its own folder")
        return self


SourceSection = Annotated[CameraSource | VideoSource | FolderSource | DicomSource, Field(discriminator="type")]
