"""The profile of a line: threshold, preprocessing, and what both were measured on.

A threshold means something only for the model, precision and preprocessing that it was measured with, so the
profile names them all.
"""

from __future__ import annotations

import hashlib
import math
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fbclip.artefacts.drift_reference import DriftReference
from fbclip.artefacts.independence import Independence
from fbclip.artefacts.sees import Sees
from fbclip.backbone.config import Precision, RuntimeName
from fbclip.decision import Decision, Prediction, Statistic, decide
from fbclip.files import canonical_json
from fbclip.frozen import Frozen
from fbclip.images.geometry import BoolMap, Placement, Roi
from fbclip.images.tiling import Tiling, map_shape
from fbclip.images.window import DEFAULT_WINDOW, Window
from fbclip.memory.fusion import Fusion
from fbclip.peers.config import FBCLIP
from fbclip.picture_health.limits import PictureLimits

SCHEMA: Literal["fbclip.profile/1"] = "fbclip.profile/1"
Rate = Annotated[float, Field(gt=0, lt=1)]


class Guarantee(Frozen):
    """With probability `confidence` over the calibration units, at most this share of normal units alarms."""

    false_alarm_rate: Rate
    confidence: Rate


class RecallGuarantee(Frozen):
    """With probability `confidence` over the calibration units, at least this share of anomalous units alarms."""

    recall: Rate
    confidence: Rate


class MeasuredRates(Frozen):
    """What units that did not choose the threshold showed at it: counts, and each rate's exact interval in 0..1.

    Each interval on its own covers the true rate with `confidence` (Clopper and Pearson).
    """

    confidence: Rate
    n_good: int = Field(ge=0)
    false_alarms: int = Field(ge=0, description="units of n_good above the threshold")
    false_alarm_low: float = Field(ge=0, le=1)
    false_alarm_high: float = Field(ge=0, le=1)
    n_bad: int = Field(ge=0)
    misses: int = Field(ge=0, description="units of n_bad at or below the threshold")
    recall_low: float = Field(ge=0, le=1)
    recall_high: float = Field(ge=0, le=1)


class Calibration(Frozen):
    """What the threshold was measured on. Counts are units (parts, files, volumes), never frames.

    bounds: what the guaranteed false-alarm rate counts as an alarm: anomalies, or uncertain verdicts as well.
    With method f1, manual or robust-limit nothing is guaranteed, and `target` only places uncertain_above, or both.
    """

    method: Literal["order-statistic", "recall", "f1", "manual", "robust-limit"]
    unit: str
    n_good: int = Field(ge=0, description="normal units that the threshold was set or measured on")
    n_constants: int = Field(ge=0, description="normal units of the disjoint split that set the statistic")
    n_bad: int = Field(0, ge=0, description="anomalous units that the threshold was set or measured on")
    exceedances: int = Field(0, ge=0, description="units of n_good that lie above the threshold")
    target: Rate
    confidence: Rate
    uncertain_target: Rate | None = Field(None, description="share of normal units that may exceed uncertain_above")
    guarantee: Guarantee | None
    quantiles: dict[str, float] = Field(description="z of the n_good units at these shares")
    data_sha256: str
    bounds: Literal["anomaly", "uncertain"] = "anomaly"
    recall_target: Rate | None = None
    recall_guarantee: RecallGuarantee | None = None
    interval: tuple[float, float] | None = Field(None, description="z from and to which both guarantees hold")
    measured: MeasuredRates | None = None
    expected_false_alarm_rate: float | None = Field(
        None, ge=0, le=1, description="of method robust-limit: about this share of normal units will alarm"
    )
    reference: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = Field(
        (), description="z of the n_good units, rising, evenly thinned to 1000: what drift is judged against"
    )
    independence: Independence | None = Field(None, description="None in profiles made before it was looked for")

    @property
    def counted_units(self) -> int:
        """What the n_good units are worth as independent ones: a bound on false alarms rests on these."""
        return self.n_good if self.independence is None else min(self.n_good, self.independence.effective)


class FusionChoice(Frozen):
    """Why a memory counts as it does: how well each use separates painted defects from normal images. All synthetic."""

    chosen: Literal["zero-shot", "memory", "fused"]
    n_good: int = Field(ge=1, description="normal images, of the split that set the statistic")
    n_painted: int = Field(ge=1, description="the same with a painted defect")
    auroc: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(description="use -> AUROC of z in 0..1")
    error: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        description="use -> standard error of how much less than the best use it is"
    )

    @model_validator(mode="after")
    def _whole(self) -> FusionChoice:
        if self.chosen not in self.auroc or set(self.auroc) != set(self.error):
            raise ValueError("auroc and error must name the chosen use and the same others")
        return self


class IgnoreMask(Frozen):
    """An image beside the profile, white where the frame is not to be judged; bound by its digest."""

    file: str
    sha256: str


class Profile(Frozen):
    schema_: Literal["fbclip.profile/1"] = SCHEMA
    line: str
    created: datetime
    method: str = Field(FBCLIP, description="what judges; profiles that name none are FB-CLIP's")
    adapter: str
    memory: str | None = None
    fusion: Fusion | None = None
    fusion_choice: FusionChoice | None = Field(None, description="None where the use was asked for")
    backbone: str
    backbone_sha256: str
    runtime: RuntimeName = "torch"
    precision: Precision = "float32"
    export: str | None = Field(None, description="id of the export that was measured with; None for torch")
    device: Literal["cpu", "cuda"]
    size: int = Field(gt=0)
    resize: Literal["stretch-bicubic"] = "stretch-bicubic"
    roi: Roi | None = None
    ignore_mask: IgnoreMask | None = None
    tiling: Tiling | None = None
    window: Window = Field(DEFAULT_WINDOW, description="which values of a file are black and white")
    smoothing: float = Field(ge=0, description="Gaussian sigma in map pixels")
    min_area_px: int = Field(ge=1, description="in map pixels")
    statistic: Statistic
    threshold: float = Field(allow_inf_nan=False)
    uncertain_above: float | None = Field(None, allow_inf_nan=False)
    map_limits: tuple[float, float] = Field(description="margins at which heat maps are cold and hot")
    calibration: Calibration
    sees: Sees | None = Field(None, description="None in profiles that were made before it was measured")
    picture: PictureLimits | None = Field(None, description="None: only black, flat and white pictures are rejected")
    drift: DriftReference | None = Field(None, description="None where units are too few, and in earlier profiles")

    @model_validator(mode="after")
    def _order(self) -> Profile:
        if self.uncertain_above is not None and self.uncertain_above > self.threshold:
            raise ValueError(f"uncertain_above {self.uncertain_above} lies above threshold {self.threshold}")
        if not self.map_limits[0] < self.map_limits[1]:
            raise ValueError(f"map_limits {self.map_limits} must rise")
        if self.min_area_px > math.prod(map_shape(self.size, self.tiling)):
            raise ValueError(f"min_area_px {self.min_area_px} is larger than the map")
        if (self.memory is None) != (self.fusion is None):
            raise ValueError("memory and fusion belong together: a profile has both or neither")
        if (self.runtime == "torch") != (self.export is None):
            raise ValueError(f"runtime {self.runtime} and export {self.export} do not belong together")
        return self

    @property
    def id(self) -> str:
        """sha256 of the canonical JSON of everything in it but what stands at its default.

        So a field that a later version adds, with a default that changes nothing, leaves old profiles their id.
        """
        return hashlib.sha256(canonical_json(self.model_dump(mode="json", exclude_defaults=True))).hexdigest()

    def decide(self, prediction: Prediction, placement: Placement, ignore: BoolMap | None = None) -> Decision:
        """The verdict of this profile on one image's prediction; `ignore` has the map's shape."""
        return decide(
            prediction,
            self.statistic,
            self.threshold,
            self.uncertain_above,
            self.min_area_px,
            placement,
            ignore,
        )
