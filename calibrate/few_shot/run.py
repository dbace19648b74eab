"""`calibrate few-shot` as one call: every class of every data set -> its curve, and their mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from calibrate.datasets.reader import read_data
from calibrate.datasets.sample import Sample
from calibrate.datasets.slices import refuse_volumes
from calibrate.few_shot.curve import mean_curve, measured_curve
from calibrate.few_shot.document import MEASURES, METHODS, OWN, Curve, Estimate, FewShot
from calibrate.few_shot.experiment import COUNTS, RESAMPLES, FewShotExperiment
from calibrate.memory.build import default_tokens
from calibrate.statistics.intervals import CONFIDENCE
from fbclip.detector import Detector
from fbclip.features.catalog import Features
from fbclip.memory.features import default_config

_VOLUMES = (
    "few-shot curves count images, and the slices of a volume are not independent; make a memory of volumes with "
    "`calibrate memory` and measure it with `calibrate evaluate --memory`"
)
_HEADS = {"image": "AUROC of the image's number", "pixel": "AUROC of the map's pixels"}


def table(curve: Curve) -> str:
    """Markdown: one row a number of images, mean and 95% interval; without masks only of the images."""
    parts = [f"## {curve.name}"]
    columns = [*METHODS, *([OWN] if all(OWN in step.image for step in curve.steps) else [])]
    for measure in MEASURES:
        rows = []
        for step in curve.steps:
            found = step.image if measure == "image" else step.pixel
            if found is not None:
                cells = [estimate_text(found[method]) for method in columns]
                rows.append(f"| {curve.label(step)} | {' | '.join(cells)} | {took_text(step.took)} |")
        if rows:
            head = f"| images | {' | '.join(columns)} | auto took |"
            rule = "|" + "---|" * (len(columns) + 2)
            parts.append("\n".join([f"{_HEADS[measure]}, 95% interval:", "", head, rule, *rows]))
    return "\n\n".join(parts) + "\n"


def estimate_text(found: Estimate) -> str:
    """Mean and interval, such as 0.790 (0.731..0.852)."""
    return f"{found.mean:.3f} ({found.low:.3f}..{found.high:.3f})"


def took_text(took: Mapping[str, int]) -> str:
    """What auto chose, and in how many memories where there are several."""
    return ", ".join(f"{use} {times}" if sum(took.values()) > 1 else use for use, times in took.items())


@dataclass(frozen=True)
class FewShotRequest:
    """data: sets with a train and a test split; seeds: draws of each number of images; tokens: of a memory at most.

    features: what the memories look with, None for what suits the backbone; adapters: class -> id of its own one.
    """

    data: Sequence[Path]
    seeds: int = 5
    tokens: int | None = None
    features: Features | None = None
    adapters: Mapping[str, str] = field(default_factory=dict)


def run_few_shot(
    detector: Detector,
    request: FewShotRequest,
    advance: Callable[[int], None] = lambda _: None,
    show: Callable[[Curve], None] = lambda _: None,
) -> FewShot:
    """The curves of a request's data; `show` gets each as soon as it is there, `advance` how many more images are done.

    Raises DataError for a set without the two splits.
    """
    model = detector.backbone_config
    tokens = default_tokens(model) if request.tokens is None else request.tokens
    config = default_config(model, request.features)
    rng = np.random.default_rng(0)
    sets = []
    for name, samples in _classes(request.data):
        adapter = request.adapters.get(samples[0].class_name, detector.adapters[0])
        experiment = FewShotExperiment(detector, adapter, samples, config, tokens, advance)
        counts = [*(count for count in COUNTS if count < experiment.images), experiment.images]
        points = list(experiment.points(counts, request.seeds))
        sets.append(measured_curve(name, points, experiment.images, experiment.tested, rng))
        show(sets[-1].curve)
    return FewShot(
        created=datetime.now(UTC).replace(microsecond=0),
        backbone=model.name,
        method=detector.running(detector.adapters[0]).method,
        adapter=detector.adapters[0],
        features=config.features,
        confidence=CONFIDENCE,
        resamples=RESAMPLES,
        curves=tuple(one.curve for one in sets),
        mean=mean_curve(sets),
    )


def _classes(roots: Sequence[Path]) -> Iterator[tuple[str, list[Sample]]]:
    """Every class of every data set by name."""
    for root in roots:
        data = read_data(root)
        refuse_volumes(data.samples, _VOLUMES)
        for name in data.classes:
            title = root.name if len(data.classes) == 1 else f"{root.name}/{name}"
            yield title, [s for s in data.samples if s.class_name == name]
