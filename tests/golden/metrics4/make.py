"""Makes the golden metrics case beside it: `python -m tests.golden.metrics4.make`, a few seconds of plain loops.

Four maps of 32 px with ties among the values, a region of one pixel, one at the border, one that only corners hold
together, and a map without any.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.golden.metrics4 import plain

HERE = Path(__file__).parent
SIZE = 32


def main() -> None:
    rng = np.random.default_rng(4)
    masks = np.zeros((4, SIZE, SIZE), np.uint8)
    masks[0, 5:14, 8:20] = 1
    masks[0, 25, 25] = 1
    masks[1, :6, 20:] = 1
    masks[1, 15:19, 4:8] = masks[1, 19:23, 8:12] = 1
    masks[2, 28:, :] = 1
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    maps = np.stack([np.sin(5 * x + n) * np.cos(4 * y - n) for n in range(4)])
    maps += 0.9 * masks + 0.35 * rng.standard_normal(maps.shape)
    maps = 1 / (1 + np.exp(-maps))
    # Sixty-fourths, so that values tie with each other and some with thresholds.
    maps = (np.round(64 * (maps - maps.min()) / np.ptp(maps)) / 64).astype(np.float32)
    labels = np.array([1, 1, 1, 0], np.int64)
    scores = np.array([0.75, 0.5, 0.875, 0.5], np.float64)
    flat, truth = maps.ravel().tolist(), masks.astype(bool).ravel().tolist()
    values = {
        "image_auroc": plain.auroc(scores.tolist(), labels.astype(bool).tolist()),
        "image_ap": plain.average_precision(scores.tolist(), labels.astype(bool).tolist()),
        "pixel_auroc": plain.auroc(flat, truth),
        "pixel_aupro": plain.aupro_paper(maps, masks),
    }
    save_file({"labels": labels, "scores": scores, "masks": masks, "maps": maps}, HERE / "case.safetensors")
    (HERE / "expected.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
