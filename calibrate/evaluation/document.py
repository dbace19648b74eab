"""evaluation.json as typed values: an evaluation writes it, comparisons and reports read it.

Keys that a later version adds are ignored; whatever is optional and missing stays empty. Some stored names are older
than the words used here: they remain in the file, as aliases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from calibrate.documents import read_document, without_unknown
from calibrate.statistics.intervals import CONFIDENCE, Rate
from fbclip.artefacts.profile import Calibration, FusionChoice
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.artefacts.seal import Seal
from fbclip.artefacts.sees import Sees
from fbclip.decision import Verdict
from fbclip.images.geometry import Roi
from fbclip.images.tiling import Tiling
from fbclip.images.window import DEFAULT_WINDOW, Window
from fbclip.memory.fusion import Fusion
from fbclip.picture_health.limits import PictureLimits

SCHEMA: Literal["calibrate.evaluation/1"] = "calibrate.evaluation/1"
FILE = "evaluation.json"
MAX_BYTES = 64 << 20
LARGEST = 3.5e38
"""Margins and z are float32; what is larger is none."""

Definition = Literal["exact", "paper"]
Mistake = Literal["false_alarm", "miss"]
Points = list[tuple[float | None, float | None]]


class EvaluationPart(BaseModel):
    """The base of the document and its parts: immutable, and tolerant of what a later version writes."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, populate_by_name=True, protected_namespaces=()
    )


class EvaluatedData(EvaluationPart):
    """The images: `normal` and `anomalous` ones have a row in samples.csv, the others are only counted.

    without_mask: anomalous images left out of the pixel numbers; empty_masks: those whose mask holds nothing at the
    map's resolution or inside the region of interest; skipped: what could not be used, one line each.
    """

    name: str = Field("", description="the last folder of the data set, no path of the machine")
    layout: str | None = None
    split: str | None = None
    data_sha256: str | None = None
    normal: int | None = Field(None, alias="n_good")
    anomalous: int | None = Field(None, alias="n_defective")
    units: int | None = Field(None, alias="n_units")
    unlabelled: int = Field(0, alias="n_unlabelled")
    without_mask: int = Field(0, alias="n_without_mask")
    empty_masks: int = Field(0, alias="n_empty_masks")
    skipped: tuple[str, ...] = ()
    synthetic: bool | str | None = Field(
        None, exclude=True, description="true, or a sentence, in runs whose maker says that the defects are painted"
    )


class EvaluatedModel(EvaluationPart):
    """What scored the images; fusion: how a memory counted.

    method: None in early runs, which are FB-CLIP's; adapter: where each class had its own one a digest over them all.
    """

    backbone: str | None = None
    backbone_sha256: str | None = None
    method: str | None = None
    adapter: str | None = None
    memory: str | None = None
    fusion: Annotated[Fusion, BeforeValidator(without_unknown(Fusion))] | None = None
    device: str | None = None
    precision: str | None = None
    runtime: str | None = None
    size: int | None = None


class EvaluatedFraming(EvaluationPart):
    """How the images were looked at."""

    roi: Annotated[Roi, BeforeValidator(without_unknown(Roi))] | None = None
    tiling: Annotated[Tiling, BeforeValidator(without_unknown(Tiling))] | None = None
    ignore_mask: bool = False
    window: Window = DEFAULT_WINDOW


class EvaluatedProfile(EvaluationPart):
    """The profile that gave the verdicts; early runs lack `map_limits`, `fusion_choice`, `seal` and `sees`."""

    id: str
    line: str
    threshold: float = Field(gt=-LARGEST, lt=LARGEST)
    uncertain_above: float | None = Field(None, gt=-LARGEST, lt=LARGEST)
    map_limits: tuple[float, float] | None = None
    fusion_choice: Annotated[FusionChoice, BeforeValidator(without_unknown(FusionChoice))] | None = None
    calibration: Annotated[Calibration, BeforeValidator(without_unknown(Calibration))]
    seal: Seal = Seal.UNSEALED
    picture: Annotated[PictureLimits, BeforeValidator(without_unknown(PictureLimits))] | None = None
    sees: Annotated[Sees, BeforeValidator(without_unknown(Sees))] | None = None

    @classmethod
    def of(cls, loaded: LoadedProfile) -> EvaluatedProfile:
        profile = loaded.profile
        return cls(
            id=profile.id,
            line=profile.line,
            threshold=profile.threshold,
            uncertain_above=profile.uncertain_above,
            map_limits=profile.map_limits,
            fusion_choice=profile.fusion_choice,
            calibration=profile.calibration,
            seal=loaded.seal,
            picture=profile.picture,
            sees=profile.sees,
        )


class Numbers(EvaluationPart):
    """The seven numbers, all in 0..1. None: the data hold only one kind, or no masks for the pixel numbers."""

    image_auroc: float | None = None
    image_ap: float | None = None
    image_f1_max: float | None = None
    pixel_auroc: float | None = None
    pixel_ap: float | None = None
    pixel_f1_max: float | None = None
    pixel_aupro: float | None = None


class VerdictCounts(EvaluationPart):
    """How many units, or images, got which verdict."""

    ok: NonNegativeInt = 0
    uncertain: NonNegativeInt = 0
    anomaly: NonNegativeInt = 0
    rejected: NonNegativeInt = 0

    @property
    def total(self) -> int:
        return sum(self.of(verdict) for verdict in Verdict)

    def of(self, verdict: Verdict) -> int:
        count: int = getattr(self, verdict)
        return count


class KindCounts(VerdictCounts):
    """The units of one kind of defect; the file also names their total, first."""

    @model_serializer(mode="wrap")
    def _with_total(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"units": self.total, **plain(self)}


class LabelCounts(EvaluationPart):
    """Verdicts on normal and on anomalous ones."""

    normal: VerdictCounts = Field(VerdictCounts(), alias="good")
    anomalous: VerdictCounts = Field(VerdictCounts(), alias="defective")


class Confusion(EvaluationPart):
    """Verdicts at the profile's threshold, counted in units and in images; rejected ones count in every total.

    false_alarm_rate: normal units with an anomaly; recall: anomalous units with one; their intervals have
    `confidence`.
    """

    units: LabelCounts = LabelCounts()
    images: LabelCounts = Field(LabelCounts(), alias="pictures")
    false_alarm_rate: Rate = Rate(0, 0, None, None, None)
    recall: Rate = Rate(0, 0, None, None, None)
    confidence: float = CONFIDENCE


class RejectedImages(EvaluationPart):
    """Reason -> how many images the profile gives no verdict for it."""

    normal: dict[str, NonNegativeInt] = {}
    anomalous: dict[str, NonNegativeInt] = {}


class ClassCurves(EvaluationPart):
    """Thinned points (x, y), empty where undefined.

    roc (FPR, TPR) and pr (recall, precision) of images; pro: mean overlap of regions over the pixels' FPR; pixel_roc
    and pixel_pr.
    """

    roc: Points = []
    pr: Points = []
    pro: Points = []
    pixel_roc: Points = []
    pixel_pr: Points = []


class WorstMistake(EvaluationPart):
    """An image worth looking at. file: drawn with its heat map, in the run's folder; path: in the data set.

    score: its z, without a profile its margin.
    """

    file: str
    path: str
    kind: Mistake
    score: float | None = None


class EvaluationDocument(EvaluationPart):
    """All of evaluation.json, in the file's order."""

    schema_: Literal["calibrate.evaluation/1"] = Field(SCHEMA, alias="schema")
    created: str | None = None
    definition: Definition | None = None
    data: EvaluatedData = EvaluatedData()
    model: EvaluatedModel = EvaluatedModel()
    framing: EvaluatedFraming = EvaluatedFraming()
    profile: EvaluatedProfile | None = None
    classes: dict[str, Numbers] = {}
    mean: Numbers = Numbers()
    confusion: Confusion | None = None
    kinds: dict[str, dict[str, KindCounts]] = Field({}, description="class -> kind of defect -> verdicts on units")
    rejected: RejectedImages = RejectedImages()
    curves: dict[str, ClassCurves] = {}
    heat_limits: tuple[float, float] | None = Field(None, description="margins at which heat maps are cold and hot")
    worst: tuple[WorstMistake, ...] = ()
    notes: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    versions: dict[str, str] = {}

    def as_json(self) -> dict[str, Any]:
        """The stored names and values."""
        return self.model_dump(mode="json", by_alias=True)


def read_evaluation(folder: Path) -> EvaluationDocument:
    """The document of the run in `folder`; raises DataError, one line that names the file and the field."""
    return read_document(folder / FILE, EvaluationDocument, SCHEMA, MAX_BYTES, "calibrate evaluate")
