"""Memories of one class -> its curve: a mean over the seeds at every number of images, with a 95% interval.

The interval is a hierarchical bootstrap: every draw takes as many seeds as there are, and as many normal and anomalous
test units as there are, each with replacement, and averages the AUROC on those units over those seeds. So it covers
which images of the pool made the memory and which images tested it. It does not cover another pool of normal
images, another line or, in a mean over sets, other sets. With few seeds their part comes out small: by a fifth in
variance with 5 of them, and with the one memory of all images it is nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.few_shot.document import MEASURES, METHODS, OWN, Curve, Estimate, Measure, Method, Step
from calibrate.few_shot.experiment import Draws, FewShotPoint, LabelTotals
from calibrate.statistics.bootstrap import Floats
from calibrate.statistics.intervals import percentile_interval


@dataclass(frozen=True, eq=False)
class MeasuredCurve:
    """A curve and the draws behind it: count -> (1+RESAMPLES,) for each method and measure, as it is and drawn."""

    curve: Curve
    draws: Mapping[int, Draws]


def measured_curve(
    name: str, points: Sequence[FewShotPoint], images: int, tested: LabelTotals, rng: np.random.Generator
) -> MeasuredCurve:
    """`images`: the pool's. One `rng` for all classes of a call makes their draws of seeds independent."""
    steps: list[Step] = []
    draws: dict[int, Draws] = {}
    for count in sorted({p.count for p in points}):
        own = [p for p in points if p.count == count]
        # Every draw's seeds are the same for all methods, so their curves can be compared.
        times = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), size=len(own[0].draws["fused", "image"]) - 1)
        weights = np.concatenate((np.ones((1, len(own))), times)) / len(own)
        of_seeds = {key: np.stack([p.draws[key] for p in own], axis=1) for key in own[0].draws}
        draws[count] = {key: (weights * found).sum(axis=1) for key, found in of_seeds.items()}
        values = {key: found[0].tolist() for key, found in of_seeds.items()}
        steps.append(_step(count, Counter(p.chosen for p in own), values, draws[count]))
    curve = Curve(
        name=name,
        images=images,
        test_normal=tested.normal,
        test_anomalous=tested.anomalous,
        steps=tuple(steps),
    )
    return MeasuredCurve(curve, draws)


def mean_curve(sets: Sequence[MeasuredCurve]) -> Curve | None:
    """The mean over several sets; None for one, or where they have no number of images in common."""
    counts = sorted(set.intersection(*(set(one.draws) for one in sets)))
    if len(sets) < 2 or not counts:
        return None
    steps = []
    for count in counts:
        took: Counter[str] = Counter()
        for one in sets:
            took.update(next(step.took for step in one.curve.steps if step.images == count))
        # A set without masks has no part in the pixel numbers.
        keys = {key for one in sets for key in one.draws[count]}
        of_sets = {key: np.stack([d for one in sets if (d := one.draws[count].get(key)) is not None]) for key in keys}
        values = {key: found[:, 0].tolist() for key, found in of_sets.items()}
        steps.append(_step(count, took, values, {key: found.mean(axis=0) for key, found in of_sets.items()}))
    return Curve(
        name=f"mean of {len(sets)}",
        test_normal=sum(one.curve.test_normal for one in sets),
        test_anomalous=sum(one.curve.test_anomalous for one in sets),
        steps=tuple(steps),
    )


def _step(count: int, took: Counter[str], values: Mapping[tuple[Method, Measure], list[float]], draws: Draws) -> Step:
    image, pixel = (
        {m: _estimate(values[m, measure], draws[m, measure]) for m in (*METHODS, OWN) if (m, measure) in draws}
        for measure in MEASURES
    )
    return Step(images=count, took=dict(took.most_common()), image=image, pixel=pixel or None)


def _estimate(values: Sequence[float], draws: Floats) -> Estimate:
    """The first of `draws` is of the images as they are; one without any mask has no pixel AUROC."""
    mean, low, high = (min(1.0, max(0.0, float(v))) for v in (draws[0], *percentile_interval(draws[1:])))
    return Estimate(values=tuple(values), mean=mean, low=low, high=high)
