"""Runs over the same images -> is one better than the other, or is it chance?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibrate.errors import DataError
from calibrate.evaluation.stored import StoredRun
from calibrate.statistics.bootstrap import Floats, Labels, draw_weights, weighted_ranking
from fbclip.errors import ConfigError

SCHEMA = "calibrate.comparison/1"
RESAMPLES = 2000
SEED = 0
CONFIDENCE = 0.95
MIN_UNITS = 20
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
METRICS = ("image_auroc", "image_ap")
Outcome = Literal["better", "worse", "none", "undecided"]


@dataclass(frozen=True)
class Difference:
    """A run's metric minus the base's, with the 95 % interval of its paired bootstrap over units.

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
    runs: tuple[StoredRun, ...]
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
                {"letter": letter, "name": r.name, "adapter": r.adapter, "classes": r.numbers, "mean": r.mean}
                for letter, r in zip(LETTERS, self.runs, strict=False)
            ],
            "comparisons": [asdict(a) for a in self.against],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Drawn:
    """Metrics of every run, observed (runs, 2) and drawn (runs, 2, RESAMPLES), and the units behind them."""

    observed: Floats
    drawn: Floats
    normal_units: int
    anomalous_units: int


def compare(runs: Sequence[StoredRun]) -> Comparison:
    """The first run is the base. Raises ConfigError for too few runs, DataError unless all judged the same images."""
    if not 2 <= len(runs) <= len(LETTERS):
        raise ConfigError(f"compare takes 2 to {len(LETTERS)} runs, got {len(runs)}")
    for letter, run in zip(LETTERS[1:], runs[1:], strict=False):
        _check_same(runs[0], run, letter)
    margins = np.stack([run.margins() for run in runs])
    judged = np.isfinite(margins).all(axis=0)
    keys = [p.key for p in runs[0].images]
    # Units as the base names them: a part is a part whatever a run called it.
    units = np.array([p.unit for p in runs[0].images])
    labels = np.array([key[2] for key in keys], dtype=np.bool_)
    of_class = np.array([key[0] for key in keys])
    drawn: dict[str, _Drawn] = {}
    for name in dict.fromkeys(of_class[judged].tolist()):
        mine = judged & (of_class == name)
        if labels[mine].any() and not labels[mine].all():
            drawn[name] = _draw(margins[:, mine], labels[mine], units[mine].tolist())
    against = [_against(place, drawn) for place in range(1, len(runs))]
    return Comparison(tuple(runs), tuple(against), tuple(_notes(runs, int((~judged).sum()))))


def _check_same(base: StoredRun, other: StoredRun, letter: str) -> None:
    first, second = (Counter(p.key for p in run.images) for run in (base, other))
    missing, added = (first - second).total(), (second - first).total()
    if missing or added:
        raise DataError(
            f"{base.name} and {other.name} are not over the same data: {missing} images are only in A, {added} only "
            f"in {letter}, by contents, class and label; evaluate both on one set"
        )
    if not first:
        raise DataError(f"{base.name}: holds no images to compare")


def _draw(margins: Floats, labels: Labels, units: list[str]) -> _Drawn:
    once = np.ones((1, len(labels)))
    rng = np.random.default_rng(SEED)
    observed = np.array([_both(row, labels, once)[:, 0] for row in margins])
    parts = [
        np.stack([_both(row, labels, weights) for row in margins])
        for weights in draw_weights(units, labels, RESAMPLES, rng)
    ]
    anomalous = {unit for unit, label in zip(units, labels, strict=True) if label}
    return _Drawn(observed, np.concatenate(parts, axis=2), len(set(units) - anomalous), len(anomalous))


def _both(margins: Floats, labels: Labels, weights: Floats) -> NDArray[np.float64]:
    return np.stack(weighted_ranking(margins, labels, weights))


def _against(place: int, drawn: dict[str, _Drawn]) -> Against:
    letter = LETTERS[place]
    classes = {
        name: {metric: _difference(place, at, [d], letter) for at, metric in enumerate(METRICS)}
        for name, d in drawn.items()
    }
    mean = {metric: _difference(place, at, list(drawn.values()), letter) for at, metric in enumerate(METRICS)}
    return Against(letter, classes, mean)


def _difference(place: int, metric: int, parts: Sequence[_Drawn], letter: str) -> Difference:
    """Of the mean over `parts`, each a class with its own draws."""
    if not parts:
        return Difference(None, None, None, "undecided", "undecided: no class has normal and anomalous images")
    value = float(np.mean([d.observed[place, metric] - d.observed[0, metric] for d in parts]))
    spread = np.mean([d.drawn[place, metric] - d.drawn[0, metric] for d in parts], axis=0)
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(v) for v in np.nanquantile(spread, (tail, 1 - tail)))
    normal, anomalous = sum(d.normal_units for d in parts), sum(d.anomalous_units for d in parts)
    if min(normal, anomalous) < MIN_UNITS:
        said = f"undecided: {normal} normal and {anomalous} anomalous units, {MIN_UNITS} of each are needed"
        return Difference(value, low, high, "undecided", said)
    if low > 0:
        return Difference(value, low, high, "better", f"{letter} is better")
    if high < 0:
        return Difference(value, low, high, "worse", f"{LETTERS[0]} is better")
    return Difference(value, low, high, "none", "no difference shown")


def _notes(runs: Sequence[StoredRun], left_out: int) -> list[str]:
    notes = []
    if left_out:
        notes.append(f"{left_out} images that some run could not judge are left out of the differences")
    if len({run.definition for run in runs}) > 1:
        notes.append("the runs use different definitions of the metrics; only the differences of margins compare")
    if len(runs) > 2:
        notes.append("every run is compared with A on its own; with many runs one may look better by chance")
    return notes
