"""What is asked of `calibrate threshold`, as one value: the line's images, the target, and the way to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from calibrate.datasets.capture_order import CaptureOrder
from calibrate.datasets.line_data import LineData
from calibrate.errors import RefusedError
from calibrate.memory.fusion_choice import RequestedUse
from fbclip.artefacts.profile import IgnoreMask
from fbclip.images.framing import Framing

Method = Literal["order-statistic", "recall", "f1", "manual"]


@dataclass(frozen=True)
class ThresholdTarget:
    """False-alarm rate per unit at most `alpha`, with `confidence`; the uncertain band starts at `uncertain`.

    bounds: the mildest verdict that counts as an alarm. With "uncertain", `alpha` bounds P(z > uncertain_above) and
    `uncertain` is not used. Raises RefusedError for a rate that is none.
    """

    alpha: float
    confidence: float
    uncertain: float
    bounds: Literal["anomaly", "uncertain"] = "anomaly"

    def __post_init__(self) -> None:
        for name, value in (("false-alarm", self.alpha), ("confidence", self.confidence)):
            if not 0 < value < 1:
                raise RefusedError(f"--{name} must lie between 0 and 1, got {value}")
        if not self.alpha <= self.uncertain < 1:
            raise RefusedError(f"--uncertain must lie between --false-alarm and 1, got {self.uncertain}")


@dataclass(frozen=True)
class Goal:
    """value: the recall in 0..1 of method `recall`, the threshold in z of method `manual`; else not used."""

    method: Method = "order-statistic"
    value: float = 0.0

    @property
    def promises(self) -> bool:
        """Whether the false-alarm rate is bounded, so that too few units are refused; else it is only measured."""
        return self.method in {"order-statistic", "recall"}


@dataclass(frozen=True)
class ThresholdRequest:
    """`min_area_px` is in map pixels; None means a quarter of a patch.

    unit_from: how units were told apart, see `datasets.units`. memory: id of one that the detector has, so that its
    distances count as `use` says; its images are not in `data`. best_effort: no promise rather than a refusal.
    order: in which its units came, to see whether they depend on each other; assume_independent: the user says no.
    profile_name: of the profile's file without its ending; what lies beside it is named after it.
    """

    line: str
    data: LineData
    target: ThresholdTarget
    goal: Goal = field(default_factory=Goal)
    unit_from: str | None = None
    framing: Framing = field(default_factory=Framing)
    ignore_mask: IgnoreMask | None = None
    min_area_px: int | None = None
    pixel_only: bool = False
    best_effort: bool = False
    memory: str | None = None
    use: RequestedUse = "auto"
    order: CaptureOrder | None = None
    assume_independent: bool = False
    profile_name: str = "profile"
