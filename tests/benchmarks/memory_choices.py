"""What a memory should be made of: `python -m tests.benchmarks.memory_choices [LINES]`, on the first generated lines.

AUROC of the memory alone, of images and of pixels, the mean over the lines, for memories of 1, 4 and 16 normal images.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from calibrate.datasets import read_data
from calibrate.embedded.samples.lines import LINES, write_line
from calibrate.few_shot.experiment import FewShotExperiment
from fbclip.detector import open_detector
from fbclip.memory.features import MemoryConfig

COUNTS = (1, 4, 16)
TOKENS = 4096
DEFAULT = MemoryConfig(features="imagenet", layers=(8, 16))
CHOICES: dict[str, dict[str, object]] = {
    "both strides, 3x3, cosine": {},
    "stride 8": {"layers": (8,)},
    "stride 16": {"layers": (16,)},
    "1x1": {"neighbourhood": (1,)},
    "5x5": {"neighbourhood": (5,)},
    "1x1 and 3x3": {"neighbourhood": (1, 3)},
    "a nearest one in each stride": {"nearest": "each"},
    "mahalanobis": {"metric": "mahalanobis"},
}


def measured(roots: list[Path], config: MemoryConfig) -> list[str]:
    """image / pixel, a cell for each of COUNTS."""
    detector = open_detector("embedded", device="cpu")
    found: dict[int, list[tuple[float, float]]] = {count: [] for count in COUNTS}
    for root in roots:
        experiment = FewShotExperiment(detector, detector.adapters[0], read_data(root).samples, config, TOKENS)
        for point in experiment.points(COUNTS, 1):
            draws = point.draws
            found[point.count].append((float(draws["memory", "image"][0]), float(draws["memory", "pixel"][0])))
    return ["{:.3f} / {:.3f}".format(*np.mean(found[count], axis=0)) for count in COUNTS]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("lines", nargs="?", type=int, default=4)
    count = parser.parse_args().lines
    sys.stdout.write(f"| choice | {' | '.join(map(str, COUNTS))} |\n{'|---' * (1 + len(COUNTS))}|\n")
    with tempfile.TemporaryDirectory() as folder:
        roots = [write_line(line, Path(folder), train=26, normal=10, anomalous=14) for line in list(LINES)[:count]]
        for name, change in CHOICES.items():
            config = MemoryConfig.model_validate(DEFAULT.model_dump() | change)
            sys.stdout.write(f"| {name} | {' | '.join(measured(roots, config))} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
