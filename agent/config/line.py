"""One entry of `lines`: the source of its frames, the profile they are judged by, and when that is an alert."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from agent.config.base import RESERVED_NAMES, ConfigPath, Name, Section
from agent.config.source import CameraSource, FolderSource, SourceSection, TriggeredSection, VideoSource
from agent.records import EventKind, LineMode, ResultChoice


class AlertSection(Section):
    """`for` which kinds: N of M frames open an event, which ends after `close_after_ok` frames that are not of it."""

    kinds: Annotated[tuple[EventKind, ...], Field(alias="for")] = (EventKind.ANOMALY, EventKind.NO_VERDICT)
    n: Annotated[int, Field(ge=1, le=10_000)] = 1
    m: Annotated[int, Field(ge=1, le=10_000)] = 1
    close_after_ok: Annotated[int, Field(ge=1, le=1_000_000)] = 3
    max_open_s: Annotated[float, Field(gt=0, le=31_536_000)] = 300

    @model_validator(mode="before")
    @classmethod
    def _formerly_on(cls, value: Any) -> Any:
        """`for` was `on` once, which writers of YAML 1.1 turn into true."""
        if not isinstance(value, dict):
            return value
        names = [key for key in value if key in ("for", "on") or key is True]
        if len(names) > 1:
            raise ValueError("for and on are the same; give one")
        return {("for" if key in names else key): item for key, item in value.items()}

    @model_validator(mode="after")
    def _order(self) -> AlertSection:
        if self.n > self.m:
            raise ValueError(f"n {self.n} is larger than m {self.m}")
        return self


class DriftSection(Section):
    """Whether the line is watched for drift. `false_alarm`: the most that the watch ever advises to recalibrate a line
    that has not changed, over the life of a profile. `every_s`: of a continuous camera or video one frame in so long
    counts as a unit; longer than a part stays in view.
    """

    watch: bool = True
    false_alarm: Annotated[float, Field(ge=1e-6, le=0.5)] = 0.01
    every_s: Annotated[float, Field(gt=0, le=86_400)] = 60


class LineSection(Section):
    """`adapter` is the line's own where it was tuned for it; without one the line uses `model.adapter`.

    `method` is what has to judge it: an adapter says itself which method it is of, and one of another is refused.
    `memory` is the folder of the normal images' tokens that the profile was measured with, where it was.
    `accept_blind`: a live line may run with a profile that has not shown to find even large defects.
    `results`: which live frames are answered with a result; files and triggers always are.
    `shadow_profile`: one that judges beside `profile`, on the same tokens; its verdicts are counted and alert nobody.
    `dicom_outputs`: the folder for overlays and regions of DICOM files, as DICOM.
    `privacy: phi`: the pictures show patients; no name, path or picture leaves the machine or reaches a log.
    """

    name: Name
    source: SourceSection
    profile: ConfigPath | None = None
    method: Literal["fb-clip", "vanilla", "clipad", "winclip", "anomalyclip", "afclip", "faprompt"] | None = None
    shadow_profile: ConfigPath | None = None
    adapter: ConfigPath | None = None
    memory: ConfigPath | None = None
    mode: LineMode = LineMode.LIVE
    privacy: Literal["none", "phi"] = "none"
    accept_blind: bool = False
    dicom_outputs: ConfigPath | None = None
    alert: AlertSection = AlertSection()
    drift: DriftSection = DriftSection()
    results: ResultChoice = ResultChoice.NONE

    @property
    def is_live(self) -> bool:
        """Whether frames come and are judged by themselves, and the newest wins; else none may be skipped."""
        return self.is_camera and not self.is_triggered

    @property
    def is_camera(self) -> bool:
        """Whether its pictures are taken one after the other, so that no two are the same to the bit."""
        source = self.source
        return isinstance(source, CameraSource) or (isinstance(source, VideoSource) and source.realtime)

    @property
    def is_private(self) -> bool:
        """Whether its files and pictures may be named and shown nowhere outside this machine."""
        return self.privacy == "phi"

    @property
    def is_triggered(self) -> bool:
        """Whether frames come by themselves and are judged only when asked for."""
        return isinstance(self.source, TriggeredSection) and self.source.triggered

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

    @model_validator(mode="after")
    def _shadow_of_one(self) -> LineSection:
        if self.shadow_profile is not None and self.profile is None:
            raise ValueError("shadow_profile: needs a profile beside which it runs")
        return self

    @model_validator(mode="after")
    def _outputs_of_files(self) -> LineSection:
        if self.dicom_outputs is not None and not isinstance(self.source, FolderSource):
            raise ValueError("dicom_outputs: only for lines that judge files")
        return self

    @model_validator(mode="after")
    def _keeps_private(self) -> LineSection:
        if self.is_private and isinstance(self.source, VideoSource):
            raise ValueError("privacy: phi: not for a video, whose path is shown; use a folder, DICOM or a camera")
        if self.is_private and isinstance(self.source, TriggeredSection) and self.source.trigger == "mqtt":
            raise ValueError("privacy: phi: not with trigger: mqtt, whose part ids come back in messages")
        return self

    @model_validator(mode="after")
    def _of_live_frames(self) -> LineSection:
        if "results" in self.model_fields_set and not self.is_live:
            raise ValueError("results: only for continuous cameras; each file and each trigger has its result anyway")
        return self
