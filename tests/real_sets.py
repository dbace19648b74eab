"""Zero-shot AUROC of the embedded model on a set in MVTec's layout: `python -m tests.real_sets FOLDER...`

Image score: the margin of the whole picture. Pixel score: the smoothed map, every second pixel, over good and
defective test pictures.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from calibrate.datasets.sample import Sample
from calibrate.pretrain import auroc
from calibrate.scoring import score
from fbclip.detector import Detector, open_detector
from fbclip.framing import Framing


def measure(detector: Detector, folder: Path) -> tuple[float, float | None]:
    """(image AUROC, pixel AUROC or None without masks) of one class."""
    adapter = next(iter(detector.smoothing))
    paths = sorted(p for p in (folder / "test").glob("*/*") if p.is_file())
    samples = [Sample(p, p.name, "") for p in paths]
    margins, labels, maps, masks = [], [], [], []
    for scored in score(detector, adapter, samples, Framing(), lambda _: None):
        path, bad = scored.sample.path, scored.sample.path.parent.name != "good"
        margins.append(scored.evidence.margin)
        labels.append(bad)
        mask_path = folder / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        size = scored.evidence.map.shape
        mask = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE) if mask_path.is_file() else None
        if mask is None and bad:
            continue
        mask = np.zeros(size, np.uint8) if mask is None else cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        maps.append(scored.evidence.map[::2, ::2].ravel())
        masks.append((mask > 0)[::2, ::2].ravel())
    pixel = auroc(np.concatenate(maps), np.concatenate(masks)) if np.any(masks) else None
    return auroc(np.array(margins), np.array(labels)), pixel


if __name__ == "__main__":
    loaded = open_detector("embedded")
    for name in sys.argv[1:]:
        image, pixel = measure(loaded, Path(name))
        sys.stdout.write(f"{name}: image AUROC {image:.3f}, pixel AUROC {'n/a' if pixel is None else f'{pixel:.3f}'}\n")
