"""The folder that `calibrate evaluate` wrote -> what a page shows of it; a profile may add what it says of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calibrate.errors import RefusedError
from calibrate.evaluation import evaluated_images
from calibrate.evaluation.document import EvaluatedProfile, EvaluationDocument, WorstMistake, read_evaluation
from calibrate.evaluation.evaluated_images import EvaluatedImage, read_images
from calibrate.evaluation.highest import DrawnUnit, read_highest
from fbclip.artefacts.profile_file import load_profile

MAX_JPEG, MAX_IMAGES = 2 << 20, 40
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class ReportImage:
    """An image with its heat map; `jpeg` is None where the file is missing or too large."""

    about: WorstMistake
    jpeg: bytes | None


@dataclass(frozen=True)
class ReportRun:
    """images: every evaluated one, none where the folder has no list of them; worst: the ones to show.

    highest: the normal units that set the profile's threshold, where they lie beside it.
    """

    evaluation: EvaluationDocument
    images: tuple[EvaluatedImage, ...]
    worst: tuple[ReportImage, ...]
    highest: tuple[DrawnUnit, ...] = ()


def read_run(folder: Path) -> ReportRun:
    """Raises DataError, one line that names the file."""
    evaluation = read_evaluation(folder)
    samples = folder / evaluated_images.FILE
    images = tuple(read_images(samples)) if samples.is_file() else ()
    worst = tuple(ReportImage(about, _read_jpeg(folder, about.file)) for about in _selected(evaluation.worst))
    return ReportRun(evaluation, images, worst)


def with_profile(run: ReportRun, path: Path) -> ReportRun:
    """The run with what the profile at `path` says of its verdicts; raises RefusedError unless it gave them."""
    loaded = load_profile(path)
    profile = loaded.profile
    judged = run.evaluation.profile
    if judged is None:
        raise RefusedError(f"{path}: the run was evaluated without a profile; `calibrate evaluate --profile` judges")
    if judged.id != profile.id:
        raise RefusedError(f"{path}: profile {profile.id[:12]} did not judge this run, {judged.id[:12]} did")
    evaluation = run.evaluation.model_copy(update={"profile": EvaluatedProfile.of(loaded)})
    return replace(run, evaluation=evaluation, highest=read_highest(path, profile.id))


def _selected(worst: Sequence[WorstMistake]) -> Sequence[WorstMistake]:
    """Of more images than a page takes, the worst of each kind: they come in that order."""
    if len(worst) <= MAX_IMAGES:
        return worst
    counts: Counter[str] = Counter()
    selected: list[WorstMistake] = []
    for about in worst:
        counts[about.kind] += 1
        if counts[about.kind] <= MAX_IMAGES // 2 and len(selected) < MAX_IMAGES:
            selected.append(about)
    return selected


def _read_jpeg(folder: Path, name: str) -> bytes | None:
    """The file's bytes if it is a JPEG of the run's own folder and no larger than agreed."""
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or path.stat().st_size > MAX_JPEG:
            return None
        data = path.read_bytes()
    except (OSError, ValueError):
        return None
    return data if data.startswith(_JPEG) else None
