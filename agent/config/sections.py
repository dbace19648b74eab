"""What agent.yaml may say, as frozen models; unknown keys are refused.

Relative paths are relative to the file. Secrets are never in it: it names the environment variables that
hold them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from agent.records import EventKind, LineMode
from fbclip.backbone.config import Precision

RESERVED_NAMES = frozenset({"cmd", "status", "info", "health", "answer"})
Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    return host in {"localhost", "::1"} or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _from_base(value: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base", Path())
    return Path(os.path.normpath(base / value.expanduser()))


class AgentSection(Section):
    name: Name = "agent"
    data_dir: Path = Field(Path("var"), validate_default=True)
    _data_dir = field_validator("data_dir")(_from_base)


class ModelSection(Section):
    """`backbone: embedded` is the model inside the package; any other is a CLIP ViT of open_clip by its name."""

    backbone: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "embedded"
    weights: Path | None = None
    adapter: Path | None = None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    precision: Precision = "float32"
    runtime: Literal["torch"] = "torch"
    batch: Annotated[int, Field(ge=1, le=256)] = 8
    threads: Annotated[int | None, Field(ge=1, le=256)] = None

    @field_validator("weights", "adapter")
    @classmethod
    def _paths(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return None if value is None else _from_base(value, info)


class TlsSection(Section):
    """Files in PEM; without `ca` the system's roots are trusted."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @field_validator("ca", "cert", "key")
    @classmethod
    def _paths(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return None if value is None else _from_base(value, info)


class MqttSection(Section):
    """`embedded://HOST:PORT` runs a broker inside the agent; `mqtt://` and `mqtts://` name one outside."""

    url: str = "embedded://127.0.0.1:1883"
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")] = "fbclip"
    tls: TlsSection | None = None
    username: str | None = None
    password_env: str | None = None
    home_assistant: Literal[False] = False

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"embedded", "mqtt", "mqtts"} or not parts.hostname:
            raise ValueError("must be embedded://HOST:PORT, mqtt://HOST[:PORT] or mqtts://HOST[:PORT]")
        if parts.username or parts.password:
            raise ValueError("must not hold credentials; use username and password_env")
        if parts.scheme == "embedded" and not is_loopback(parts.hostname):
            raise ValueError("the embedded broker asks for no password and listens on loopback only")
        _ = parts.port
        return value

    @property
    def embedded(self) -> bool:
        return urlsplit(self.url).scheme == "embedded"

    @property
    def secure(self) -> bool:
        return urlsplit(self.url).scheme == "mqtts" or self.tls is not None

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or (8883 if self.secure else 1883)


class RetentionSection(Section):
    """What is pruned first: images of ok frames, then the oldest others; rows after `days`."""

    days: Annotated[float, Field(gt=0)] = 30
    pictures_mb: Annotated[float, Field(gt=0)] = 2048
    min_free_mb: Annotated[float, Field(ge=0)] = 512
    ok_every: Annotated[int, Field(ge=0)] = 20


class StoreSection(Section):
    """`url` empty means SQLite in the data directory. `ok_every: n` keeps each n-th ok image, 0 none."""

    url: str | None = None
    retention: RetentionSection = RetentionSection()


class WebSection(Section):
    """The page. Any address other than loopback needs a token in the variable `token_env`."""

    listen: str = "127.0.0.1:8088"
    token_env: str | None = None

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
            raise ValueError("must be HOST:PORT")
        return value

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)


class CameraSource(Section):
    """A V4L2 device number or a URL; `url_env` keeps a URL with a password out of the file."""

    type: Literal["camera"]
    device: Annotated[int | None, Field(ge=0)] = None
    url: str | None = None
    url_env: str | None = None
    max_fps: Annotated[float | None, Field(gt=0)] = None
    stall_s: Annotated[float, Field(gt=0)] = 10

    @model_validator(mode="after")
    def _one(self) -> CameraSource:
        if sum(x is not None for x in (self.device, self.url, self.url_env)) != 1:
            raise ValueError("needs exactly one of device, url, url_env")
        if self.url is not None and re.match(r"^[a-z]+://[^/@]*:[^/@]*@", self.url):
            raise ValueError("must not hold a password; put the whole URL in an environment variable: url_env")
        return self


class VideoSource(Section):
    """A file; `realtime: true` plays it at its own speed like a camera, else every frame is judged."""

    type: Literal["video"]
    path: Path
    realtime: bool = False
    loop: bool = False
    max_fps: Annotated[float | None, Field(gt=0)] = None
    _path = field_validator("path")(_from_base)


class FolderSource(Section):
    """A hot folder. Judged files move to `done` or `failed`, beside the folder unless told otherwise."""

    type: Literal["folder"]
    path: Path
    done: Path | None = None
    failed: Path | None = None
    recursive: bool = False
    settle_s: Annotated[float, Field(ge=0)] = 1.0
    rescan_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    network: bool = False
    _path = field_validator("path")(_from_base)

    @field_validator("done", "failed")
    @classmethod
    def _paths(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return None if value is None else _from_base(value, info)

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


Source = Annotated[CameraSource | VideoSource | FolderSource, Field(discriminator="type")]


class AlertSection(Section):
    """N of M frames above the threshold open an event; it ends after `close_after_ok` frames that are not."""

    on: tuple[EventKind, ...] = (EventKind.ANOMALY, EventKind.NO_VERDICT)
    n: Annotated[int, Field(ge=1)] = 1
    m: Annotated[int, Field(ge=1, le=10_000)] = 1
    close_after_ok: Annotated[int, Field(ge=1)] = 3
    max_open_s: Annotated[float, Field(gt=0)] = 300

    @model_validator(mode="after")
    def _order(self) -> AlertSection:
        if self.n > self.m:
            raise ValueError(f"n {self.n} is larger than m {self.m}")
        return self


class LineSection(Section):
    """`adapter` is the line's own where it was tuned for it; without one the line uses `model.adapter`.

    `memory` is the folder of the normal images' tokens that the profile was measured with, where it was.
    """

    name: Name
    source: Source
    profile: Path | None = None
    adapter: Path | None = None
    memory: Path | None = None
    mode: LineMode = LineMode.LIVE
    privacy: Literal["none"] = "none"
    alert: AlertSection = AlertSection()

    @field_validator("profile", "adapter", "memory")
    @classmethod
    def _paths(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return None if value is None else _from_base(value, info)

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


class Config(Section):
    agent: AgentSection = AgentSection()
    model: ModelSection = ModelSection()
    mqtt: MqttSection = MqttSection()
    store: StoreSection = StoreSection()
    web: WebSection = WebSection()
    lines: Annotated[tuple[LineSection, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> Config:
        names = [line.name for line in self.lines]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise ValueError(f"line names must differ: {', '.join(sorted(twice))}")
        watched = [line.source.path for line in self.lines if isinstance(line.source, FolderSource)]
        for line in self.lines:
            if isinstance(line.source, FolderSource):
                for out in (line.source.done_dir, line.source.failed_dir):
                    if any(out == folder or folder in out.parents for folder in watched):
                        raise ValueError(f"line {line.name}: {out.name} lies inside a watched folder")
        if len(set(watched)) != len(watched):
            raise ValueError("two lines watch the same folder")
        if not self.web.loopback and self.web.token_env is None:
            raise ValueError("web.listen is not loopback: set web.token_env")
        return self

    @property
    def store_url(self) -> str:
        return self.store.url or f"sqlite:///{self.agent.data_dir.absolute()}/agent.db"
