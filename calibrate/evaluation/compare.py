"""Runs over the same images -> is one better than the other, or is it chance?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibrate.errors import DataError
from calibrate.evaluation import document, evaluated_images
from calibrate.evaluation.document import EvaluationDocument, read_evaluation
from calibrate.evaluation.evaluated_images import EvaluatedImage, read_images
from calibrate.statistics.bootstrap import Floats, Labels, draw_weights, weighted_ranking
from calibrate.statistics.intervals import CONFIDENCE, percentile_interval
from fbclip.errors import ConfigError
from fbclip.peers.config import FBCLIP

SCHEMA = "calibrate.comparison/1"
RESAMPLES = 2000
SEED = 0
MIN_UNITS = 20
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
COMPARED = ("image_auroc", "image_ap")
Outcome = Literal["better", "worse", "none", "undecided"]


@dataclass(frozen=True)
class ComparedRun:
    """name: of its folder; images: in the order of their class, contents and label, the same for runs over one set."""

    name: str
    adapter: str
    method: str
    document: EvaluationDocument
    images: tuple[EvaluatedImage, ...]


def read_compared(folder: Path) -> ComparedRun:
    """Raises DataError, one line that names the file."""
    found = read_evaluation(folder)
    if found.model.adapter is None:
        raise DataError(f"{folder / document.FILE}: model.adapter: missing; evaluate again")
    images = sorted(read_images(folder / evaluated_images.FILE), key=lambda image: (_key(image), image.unit))
    return ComparedRun(folder.resolve().name, found.model.adapter, found.model.method or FBCLIP, found, tuple(images))


@dataclass(frozen=True)
class Difference:
    """A run's metric minus the base's, with the 95% interval of its paired bootstrap over units.

    None where the metric is undefined. outcome: of the run against the base; `none` is that no difference is shown.
    """

    difference: float | None
    low: float | None
    high: float | None
    outcome: Outcome
    sentence: str


@dataclass(frozen=True)
class Against:
    """One run against the base: class -> metric -> difference, and their mean over the classes that have both kinds."""

    letter: str
    classes: dict[str, dict[str, Difference]]
    mean: dict[str, Difference]


@dataclass(frozen=True)
class Comparison:
    runs: tuple[ComparedRun, ...]
    against: tuple[Against, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "resamples": RESAMPLES,
            "seed": SEED,
            "confidence": CONFIDENCE,
            "base": LETTERS[0],
            "runs": [
                {
                    "letter": letter,
                    "name": run.name,
                    "adapter": run.adapter,
                    "method": run.method,
                    "classes": {name: numbers.model_dump() for name, numbers in run.document.classes.items()},
                    "mean": run.document.mean.model_dump(),
                }
                for letter, run in zip(LETTERS, self.runs, strict=False)
            ],
            "comparisons": [asdict(a) for a in self.against],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Draws:
    """Metrics of every run on one class, observed (runs, 2) and resampled (runs, 2, RESAMPLES), and its units."""

    observed: Floats
    resampled: Floats
    normal_units: int
    anomalous_units: int


def compare(runs: Sequence[ComparedRun]) -> Comparison:
    """The first run is the base. Raises ConfigError for too few runs, DataError unless all judged the same images."""
    if not 2 <= len(runs) <= len(LETTERS):
        raise ConfigError(f"compare takes 2 to {len(LETTERS)} runs, got {len(runs)}")
    base = runs[0]
    for letter, run in zip(LETTERS[1:], runs[1:], strict=False):
        _check_same(base, run, letter)
    margins = np.stack([_margins(run) for run in runs])
    judged = np.isfinite(margins).all(axis=0)
    # Units as the base names them: a part is a part whatever a run called it.
    units = np.array([image.unit for image in base.images])
    labels = np.array([image.anomalous for image in base.images], dtype=np.bool_)
    classes = np.array([image.class_name for image in base.images])
    draws: dict[str, _Draws] = {}
    for name in dict.fromkeys(classes[judged].tolist()):
        own = judged & (classes == name)
        if labels[own].any() and not labels[own].all():
            draws[name] = _draw(margins[:, own], labels[own], units[own].tolist())
    against = [_against(number, draws) for number in range(1, len(runs))]
    return Comparison(tuple(runs), tuple(against), tuple(_notes(runs, int((~judged).sum()))))


def _key(image: EvaluatedImage) -> tuple[str, str, bool]:
    """What makes it the same image in two runs."""
    return image.class_name, image.sha256, image.anomalous


def _margins(run: ComparedRun) -> Floats:
    """One an image; NaN where there is none."""
    return np.array([math.nan if image.margin is None else image.margin for image in run.images])


def _check_same(base: ComparedRun, other: ComparedRun, letter: str) -> None:
    first, second = (Counter(map(_key, run.images)) for run in (base, other))
    missing, added = (first - second).total(), (second - first).total()
    if missing or added:
        raise DataError(
            f"{base.name} and {other.name} are not over the same data: {missing} images are only in A, {added} only "
            f"in {letter}, by contents, class and label; evaluate both on one set"
        )
    if not first:
        raise DataError(f"{base.name}: holds no images to compare")


def _draw(margins: Floats, labels: Labels, units: list[str]) -> _Draws:
    """Margins (runs, N) of one class's images; every run gets the same draws."""
    once = np.ones((1, len(labels)))
    rng = np.random.default_rng(SEED)
    observed = np.array([_rankings(of_run, labels, once)[:, 0] for of_run in margins])
    parts = [
        np.stack([_rankings(of_run, labels, weights) for of_run in margins])
        for weights in draw_weights(units, labels, RESAMPLES, rng)
    ]
    anomalous = {unit for unit, label in zip(units, labels, strict=True) if label}
    return _Draws(observed, np.concatenate(parts, axis=2), len(set(units) - anomalous), len(anomalous))


def _rankings(margins: Floats, labels: Labels, weights: Floats) -> NDArray[np.float64]:
    """COMPARED, (2, draws)."""
    return np.stack(weighted_ranking(margins, labels, weights))


def _against(run: int, draws: dict[str, _Draws]) -> Against:
    """`run`: its number, the base has 0."""
    return Against(
        LETTERS[run],
        {name: _differences(run, [own]) for name, own in draws.items()},
        _differences(run, [*draws.values()]),
    )


def _differences(run: int, classes: Sequence[_Draws]) -> dict[str, Difference]:
    return {metric: _difference(run, at, classes) for at, metric in enumerate(COMPARED)}


def _difference(run: int, metric: int, classes: Sequence[_Draws]) -> Difference:
    """Of the mean over `classes`, each with its own draws."""
    if not classes:
        return Difference(None, None, None, "undecided", "undecided: no class has normal and anomalous images")
    value = float(np.mean([d.observed[run, metric] - d.observed[0, metric] for d in classes]))
    differences = np.mean([d.resampled[run, metric] - d.resampled[0, metric] for d in classes], axis=0)
    low, high = percentile_interval(differences).tolist()
    normal, anomalous = sum(d.normal_units for d in classes), sum(d.anomalous_units for d in classes)
    if min(normal, anomalous) < MIN_UNITS:
        sentence = f"undecided: {normal} normal and {anomalous} anomalous units, {MIN_UNITS} of each are needed"
        return Difference(value, low, high, "undecided", sentence)
    if low > 0:
        return Difference(value, low, high, "better", f"{LETTERS[run]} is better")
    if high < 0:
        return Difference(value, low, high, "worse", f"{LETTERS[0]} is better")
    return Difference(value, low, high, "none", "no difference shown")


def _notes(runs: Sequence[ComparedRun], left_out: int) -> list[str]:
    notes = []
    if left_out:
        notes.append(f"{left_out} images that some run could not judge are left out of the differences")
    if len({run.document.definition for run in runs}) > 1:
        notes.append("the runs use different definitions of the metrics; only the differences of margins compare")
    if len(runs) > 2:
        notes.append("every run is compared with A on its own; with many runs one may look better by chance")
    return notes
