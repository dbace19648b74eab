"""How long the detector may take before it hangs: by its speed on this machine and by what a batch may hold."""

from __future__ import annotations

import time
from collections.abc import Iterable

from agent.pipeline.lines import Line
from agent.pipeline.workers import PATIENCE_S
from fbclip.detector import Detector

# A batch may take so many times what its images take one by one.
PATIENCE_TIMES = 10.0


def seconds_an_image(detector: Detector) -> float:
    """How long one takes on this machine, roughly: the first pass is slow, the second is measured."""
    detector.warm_up()
    began = time.monotonic()
    detector.warm_up()
    return time.monotonic() - began


def detector_patience_s(seconds: float, batch: int, lines: Iterable[Line]) -> float:
    """How long the detector may take for a batch before it hangs: by its speed and the most tiles of an image."""
    tilings = [line.loaded.profile.tiling for line in lines if line.loaded is not None]
    tiles = max((tiling.columns * tiling.rows for tiling in tilings if tiling is not None), default=1)
    return max(PATIENCE_S, PATIENCE_TIMES * seconds * batch * tiles)
