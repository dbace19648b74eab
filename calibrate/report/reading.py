"""The folder that `calibrate evaluate` wrote, as typed values. Whatever is optional and missing stays empty."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from calibrate.errors import DataError, RefusedError
from calibrate.report.rows import LARGEST, Row, first_line, read_rows
from fbclip.profile import Calibration, load_profile

SCHEMA: Literal["calibrate.evaluation/1"] = "calibrate.evaluation/1"
MAX_EVALUATION, MAX_PICTURE, MAX_PICTURES = 64 << 20, 2 << 20, 40
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


class Model(Loose):
    backbone: str | None = None
    backbone_sha256: str | None = None
    adapter: str | None = None
    device: str | None = None
    precision: str | None = None
    size: int | None = None


class KnownCalibration(Calibration):
    model_config = ConfigDict(extra="ignore")


class JudgedBy(Loose):
    """The profile that gave the verdicts."""

    id: str
    line: str
    threshold: float = Field(gt=-LARGEST, lt=LARGEST)
    uncertain_above: float | None = Field(None, gt=-LARGEST, lt=LARGEST)
    calibration: KnownCalibration
    map_limits: tuple[float, float] | None = None


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


class Confusion(Loose):
    """good or defective -> verdict -> units. A unit alarms when one of its pictures does."""

    units: dict[str, dict[str, NonNegativeInt]] = {}


class Worst(Loose):
    file: str
    path: str
    kind: str
    score: float | None = None


class Evaluation(Loose):
    schema_: Literal["calibrate.evaluation/1"] = Field(alias="schema")
    created: str | None = None
    data: Data = Data()
    model: Model = Model()
    framing: dict[str, Any] = {}
    profile: JudgedBy | None = None
    classes: dict[str, Metrics] = {}
    mean: Metrics = Metrics()
    confusion: Confusion | None = None
    kinds: dict[str, dict[str, dict[str, NonNegativeInt]]] = Field({}, description="class, kind, verdict -> units")
    curves: dict[str, Curves] = {}
    heat_limits: tuple[float, float] | None = Field(None, description="margins at which the pictures are cold and hot")
    worst: list[Worst] = []
    notes: list[str] = []
    definition: str | None = None
    command: str | list[str] | None = None
    versions: dict[str, Any] = {}


@dataclass(frozen=True)
class Picture:
    """A picture with its heat map; `jpeg` is None where the file is missing or too large."""

    about: Worst
    jpeg: bytes | None


@dataclass(frozen=True)
class Run:
    evaluation: Evaluation
    rows: tuple[Row, ...]
    pictures: tuple[Picture, ...]


def read_run(folder: Path) -> Run:
    """Raises DataError, one line that names the file."""
    evaluation = _read_evaluation(folder / "evaluation.json")
    samples = folder / "samples.csv"
    rows = tuple(read_rows(samples)) if samples.is_file() else ()
    pictures = tuple(Picture(w, _read_jpeg(folder, w.file)) for w in _shown(evaluation.worst))
    return Run(evaluation, rows, pictures)


def _shown(worst: list[Worst]) -> list[Worst]:
    """Of more pictures than a page takes, the worst of each kind: they come in that order."""
    if len(worst) <= MAX_PICTURES:
        return worst
    seen: Counter[str] = Counter()
    shown: list[Worst] = []
    for about in worst:
        seen[about.kind] += 1
        if seen[about.kind] <= MAX_PICTURES // 2 and len(shown) < MAX_PICTURES:
            shown.append(about)
    return shown


def with_profile(run: Run, path: Path) -> Run:
    """The run with what the profile at `path` says of its verdicts; raises RefusedError unless it gave them."""
    profile = load_profile(path).profile
    judged = run.evaluation.profile
    if judged is None:
        raise RefusedError(f"{path}: the run was evaluated without a profile; `calibrate evaluate --profile` judges")
    if judged.id != profile.id:
        raise RefusedError(f"{path}: profile {profile.id[:12]} did not judge this run, {judged.id[:12]} did")
    full = JudgedBy(
        id=profile.id,
        line=profile.line,
        threshold=profile.threshold,
        uncertain_above=profile.uncertain_above,
        calibration=KnownCalibration.model_validate(profile.calibration.model_dump()),
        map_limits=profile.map_limits,
    )
    return replace(run, evaluation=run.evaluation.model_copy(update={"profile": full}))


def _read_evaluation(path: Path) -> Evaluation:
    try:
        if path.stat().st_size > MAX_EVALUATION:
            raise DataError(f"{path}: larger than {MAX_EVALUATION} bytes")
        # NaN is not JSON, yet Python writes it; here it means the same as null.
        data = json.loads(path.read_bytes(), parse_constant=lambda _: None)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; `calibrate evaluate` makes it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read: {first_line(error)}") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise DataError(f"{path}: schema: not {SCHEMA}; `calibrate evaluate` makes it")
    try:
        return Evaluation.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _read_jpeg(folder: Path, name: str) -> bytes | None:
    """The file's bytes if it is a JPEG of the run's own folder and no larger than agreed."""
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or path.stat().st_size > MAX_PICTURE:
            return None
        data = path.read_bytes()
    except (OSError, ValueError):
        return None
    return data if data.startswith(_JPEG) else None
