"""Images -> predictions by the detector that the agent runs, in batches, keeping only what is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibrate.datasets.sample import Sample
from calibrate.errors import DataError
from fbclip.decision import Prediction
from fbclip.detector import Detector, Job
from fbclip.errors import ImageError
from fbclip.images.decode import read_image
from fbclip.images.framing import Framed, Framing
from fbclip.images.geometry import BoolMap, Placement, RgbImage
from fbclip.images.quality import QualitySettings, image_fault
from fbclip.memory.fusion import Fusion

BATCH = 8


@dataclass(frozen=True, eq=False)
class Scored:
    """What the detector says of a sample, and where its map lies; `ignore` has the map's shape."""

    sample: Sample
    prediction: Prediction
    placement: Placement
    ignore: BoolMap | None


def score(
    detector: Detector,
    adapter: str,
    samples: Sequence[Sample],
    framing: Framing,
    advance: Callable[[int], None],
    skipped: list[str] | None = None,
    memory: str | None = None,
    fusion: Fusion | None = None,
) -> Iterator[Scored]:
    """The prediction of every sample in order; with `fusion`, of the margins and the memory of that id together.

    Images that the agent would reject are appended to `skipped`; without such a list DataError names them all.
    """
    faults = [] if skipped is None else skipped
    sigma = detector.smoothing[adapter]
    for start in range(0, len(samples), BATCH):
        chunk: list[tuple[Sample, Framed]] = []
        jobs = []
        for sample in samples[start : start + BATCH]:
            try:
                framed = detector.frame(read_usable(sample.path), framing)
                jobs.append(Job(framed.tiles, adapter, sigma, framing.tiling, memory, fusion))
                chunk.append((sample, framed))
            except (ImageError, OSError) as error:
                faults.append(f"{sample.path.name} ({error})")
        for (sample, framed), prediction in zip(chunk, detector.infer(jobs), strict=True):
            if not (np.isfinite(prediction.margin) and np.isfinite(prediction.map).all()):
                faults.append(f"{sample.path.name} (the model gave a non-finite value)")
                continue
            yield Scored(sample, prediction, framed.placement, framed.ignore)
        advance(len(samples[start : start + BATCH]))
    if skipped is None:
        refuse_faults(faults)


def read_usable(path: Path) -> RgbImage:
    """An image that the agent would judge, uint8 RGB (H,W,3). Raises ImageError for any other, OSError."""
    image: RgbImage = read_image(path).image
    fault = image_fault(image, QualitySettings())
    if fault is not None:
        raise ImageError(fault)
    return image


def refuse_faults(faults: Sequence[str]) -> None:
    """Raises DataError naming the images, one line each, where there are any."""
    if faults:
        shown = ", ".join(faults[:5]) + (f" and {len(faults) - 5} more" if len(faults) > 5 else "")
        raise DataError(f"{len(faults)} images cannot be judged, take them out of the data: {shown}")


def unit_maxima(units: Sequence[str], z: Sequence[float]) -> NDArray[np.float64]:
    """The largest z of each unit, (n_units,): a unit alarms when any of its frames does."""
    best: dict[str, float] = {}
    for unit, value in zip(units, z, strict=True):
        best[unit] = max(value, best.get(unit, float("-inf")))
    return np.array(list(best.values()))
