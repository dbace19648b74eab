"""The folder that `calibrate evaluate` wrote, as typed values. Whatever is optional and missing stays empty."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from calibrate.errors import RefusedError
from calibrate.few_shot import document
from calibrate.few_shot.document import FewShot
from calibrate.report.documents import read_document
from calibrate.report.rows import LARGEST, ReportRow, read_rows
from fbclip.artefacts.profile import Calibration, FusionChoice
from fbclip.artefacts.profile_file import load_profile

SCHEMA: Literal["calibrate.evaluation/1"] = "calibrate.evaluation/1"
MAX_EVALUATION, MAX_FEW_SHOT, MAX_IMAGE, MAX_IMAGES = 64 << 20, 16 << 20, 2 << 20, 40
_JPEG = b"\xff\xd8\xff"

Points = list[tuple[float | None, float | None]]


class Loose(BaseModel):
    """A part of the file. Keys that a later version adds are no harm."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, protected_namespaces=())


class Data(Loose):
    name: str = ""
    layout: str | None = None
    split: str | None = None
    data_sha256: str | None = None
    n_good: int | None = None
    n_defective: int | None = None
    n_units: int | None = None
    skipped: list[Any] = []
    synthetic: bool | str | None = Field(None, description="true or a sentence where defects are painted, not real")


class Shares(Loose):
    """How a memory counted: its weight in the image's number and in the map, the rest is zero-shot's."""

    use: Literal["memory", "fused"]
    image_share: float = Field(ge=0, le=1)
    map_share: float = Field(ge=0, le=1)


class StoredModel(Loose):
    backbone: str | None = None
    backbone_sha256: str | None = None
    adapter: str | None = None
    memory: str | None = None
    fusion: Shares | None = None
    device: str | None = None
    precision: str | None = None
    size: int | None = None


class KnownCalibration(Calibration):
    model_config = ConfigDict(extra="ignore")


class KnownChoice(FusionChoice):
    model_config = ConfigDict(extra="ignore")


class JudgedBy(Loose):
    """The profile that gave the verdicts."""

    id: str
    line: str
    threshold: float = Field(gt=-LARGEST, lt=LARGEST)
    uncertain_above: float | None = Field(None, gt=-LARGEST, lt=LARGEST)
    calibration: KnownCalibration
    map_limits: tuple[float, float] | None = None
    fusion_choice: KnownChoice | None = None


class Metrics(Loose):
    """None is undefined: a class without defects, or without masks."""

    image_auroc: float | None = None
    image_ap: float | None = None
    image_f1_max: float | None = None
    pixel_auroc: float | None = None
    pixel_ap: float | None = None
    pixel_f1_max: float | None = None
    pixel_aupro: float | None = None


class Curves(Loose):
    """Points (x, y): roc (fpr, tpr), pr (recall, precision), pro (fpr of pixels, overlap of regions)."""

    roc: Points = []
    pr: Points = []
    pro: Points = []


class StoredConfusion(Loose):
    """normal or anomalous -> verdict -> units. A unit alarms when one of its images does."""

    units: dict[str, dict[str, NonNegativeInt]] = {}


class Worst(Loose):
    file: str
    path: str
    kind: str
    score: float | None = None


class StoredEvaluation(Loose):
    schema_: Literal["calibrate.evaluation/1"] = Field(alias="schema")
    created: str | None = None
    data: Data = Data()
    model: StoredModel = StoredModel()
    framing: dict[str, Any] = {}
    profile: JudgedBy | None = None
    classes: dict[str, Metrics] = {}
    mean: Metrics = Metrics()
    confusion: StoredConfusion | None = None
    kinds: dict[str, dict[str, dict[str, NonNegativeInt]]] = Field({}, description="class, kind, verdict -> units")
    curves: dict[str, Curves] = {}
    heat_limits: tuple[float, float] | None = Field(None, description="margins at which the images are cold and hot")
    worst: list[Worst] = []
    notes: list[str] = []
    definition: str | None = None
    command: str | list[str] | None = None
    versions: dict[str, Any] = {}


@dataclass(frozen=True)
class ReportImage:
    """An image with its heat map; `jpeg` is None where the file is missing or too large."""

    about: Worst
    jpeg: bytes | None


@dataclass(frozen=True)
class ReportRun:
    evaluation: StoredEvaluation
    rows: tuple[ReportRow, ...]
    images: tuple[ReportImage, ...]


def read_run(folder: Path) -> ReportRun:
    """Raises DataError, one line that names the file."""
    evaluation = read_document(
        folder / "evaluation.json", StoredEvaluation, SCHEMA, MAX_EVALUATION, "calibrate evaluate"
    )
    samples = folder / "samples.csv"
    rows = tuple(read_rows(samples)) if samples.is_file() else ()
    images = tuple(ReportImage(w, _read_jpeg(folder, w.file)) for w in _shown(evaluation.worst))
    return ReportRun(evaluation, rows, images)


def read_few_shot(path: Path) -> FewShot:
    """Raises DataError, one line that names the file."""
    return read_document(path, FewShot, document.SCHEMA, MAX_FEW_SHOT, "calibrate few-shot --out")


def _shown(worst: list[Worst]) -> list[Worst]:
    """Of more images than a page takes, the worst of each kind: they come in that order."""
    if len(worst) <= MAX_IMAGES:
        return worst
    seen: Counter[str] = Counter()
    shown: list[Worst] = []
    for about in worst:
        seen[about.kind] += 1
        if seen[about.kind] <= MAX_IMAGES // 2 and len(shown) < MAX_IMAGES:
            shown.append(about)
    return shown


def with_profile(run: ReportRun, path: Path) -> ReportRun:
    """The run with what the profile at `path` says of its verdicts; raises RefusedError unless it gave them."""
    profile = load_profile(path).profile
    judged = run.evaluation.profile
    if judged is None:
        raise RefusedError(f"{path}: the run was evaluated without a profile; `calibrate evaluate --profile` judges")
    if judged.id != profile.id:
        raise RefusedError(f"{path}: profile {profile.id[:12]} did not judge this run, {judged.id[:12]} did")
    choice = profile.fusion_choice
    full = JudgedBy(
        id=profile.id,
        line=profile.line,
        threshold=profile.threshold,
        uncertain_above=profile.uncertain_above,
        calibration=KnownCalibration.model_validate(profile.calibration.model_dump()),
        map_limits=profile.map_limits,
        fusion_choice=None if choice is None else KnownChoice.model_validate(choice.model_dump()),
    )
    return replace(run, evaluation=run.evaluation.model_copy(update={"profile": full}))


def _read_jpeg(folder: Path, name: str) -> bytes | None:
    """The file's bytes if it is a JPEG of the run's own folder and no larger than agreed."""
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or path.stat().st_size > MAX_IMAGE:
            return None
        data = path.read_bytes()
    except (OSError, ValueError):
        return None
    return data if data.startswith(_JPEG) else None
