"""The embedded model's heat maps: `python -m tests.benchmarks.embedded_sheet OUT.jpg [FOLDER] [--weights FILE]`.

Images with their masks outlined, each beside its heat map, all on one scale that comes from the normal ones. Without
FOLDER generated families that were held out from all training, else the test images of a labelled set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from calibrate.embedded.generator.scene import generate
from calibrate.evaluation.worst import fixed_limits
from calibrate.surfaces.families import TEST_FAMILIES
from fbclip.detector import open_detector
from fbclip.images.heat_map import blend_heat_map
from tests.benchmarks.embedded_table import SIDE, TEST_SEED, Labelled, labelled, model

TILE_SIDE = 200
COLUMNS = 6


def generated() -> list[Labelled]:
    """Three normal and three anomalous images of each family."""
    found = []
    for k, family in enumerate(TEST_FAMILIES):
        for i in range(COLUMNS):
            scene = generate(TEST_SEED + 1000 * k + 500 + i, SIDE, [family], anomalous=i >= COLUMNS // 2)
            found.append(Labelled(scene.image, scene.label, scene.mask))
    return found


def spread(images: list[Labelled], rows: int) -> list[Labelled]:
    """Rows of a third normal and the rest anomalous, evenly from the set."""
    normal, anomalous = ([p for p in images if p.label == label] for label in (0, 1))
    share = COLUMNS // 3

    def some(part: list[Labelled], count: int) -> list[Labelled]:
        return [part[int(i)] for i in np.linspace(0, len(part) - 1, count)]

    few, many = some(normal, rows * share), some(anomalous, rows * (COLUMNS - share))
    return [
        image
        for row in range(rows)
        for image in (
            *few[row * share : (row + 1) * share],
            *many[row * (COLUMNS - share) : (row + 1) * (COLUMNS - share)],
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--weights", type=Path)
    arguments = parser.parse_args()
    images = generated() if arguments.folder is None else spread(list(labelled(arguments.folder)), 4)
    adapters = [arguments.weights.parent / "adapter"] if arguments.weights else []
    score = model(open_detector("embedded", arguments.weights, adapters))
    maps = [score(p.image)[1] for p in images]
    limits = fixed_limits([float(m.max()) for m, p in zip(maps, images, strict=True) if not p.label])
    tiles = []
    for image, heat in zip(images, maps, strict=True):
        small = cv2.resize(image.image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        warm = blend_heat_map(np.asarray(small, np.uint8), heat, limits)
        if image.mask is not None and image.mask.any():
            outline, _ = cv2.findContours(image.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(small, outline, -1, (255, 40, 160), 2)
        tiles.append(cv2.resize(np.vstack((small, warm)), (TILE_SIDE, 2 * TILE_SIDE), interpolation=cv2.INTER_AREA))
    rows = [np.hstack(tiles[k : k + COLUMNS]) for k in range(0, len(tiles), COLUMNS)]
    cv2.imwrite(str(arguments.out), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])


if __name__ == "__main__":
    main()
