"""A small labelled set, a profile for a detector, and an evaluation of both."""

from datetime import UTC, datetime

import numpy as np
from PIL import Image

from calibrate.datasets import read_data
from calibrate.evaluation.evaluate import evaluate
from calibrate.evaluation.request import EvaluationRequest
from fbclip.artefacts.profile import Calibration, Profile
from fbclip.decision import Statistic


def noisy_image(seed, size=(48, 40)):
    """Noise with a shape in it, (H,W,3), size (width, height)."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, 120, (size[1], size[0], 3), dtype=np.uint8)
    pixels[5:20, 5 + seed % 9 : 30] += 90
    return pixels


def save_image(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def box_mask(box=(10, 8, 30, 24), size=(48, 40)):
    mask = np.zeros((size[1], size[0]), np.uint8)
    x1, y1, x2, y2 = box
    mask[y1:y2, x1:x2] = 255
    return mask


def write_labelled_set(root):
    """bolt: 5 normal, 4 dented with masks, 2 cut, one of them without; nut: normal only; pin: anomalous, no masks."""
    for k in range(5):
        save_image(root / "bolt/test/good" / f"{k}.png", noisy_image(k))
    for k in range(4):
        save_image(root / "bolt/test/dent" / f"{k}.png", noisy_image(10 + k))
        save_image(root / "bolt/ground_truth/dent" / f"{k}_mask.png", box_mask((4 * k, 8, 4 * k + 16, 24)))
    for k in range(2):
        save_image(root / "bolt/test/cut" / f"{k}.png", noisy_image(20 + k))
    save_image(root / "bolt/ground_truth/cut/0_mask.png", box_mask())
    for k in range(3):
        save_image(root / "nut/test/good" / f"{k}.png", noisy_image(30 + k))
        save_image(root / "pin/test/bent" / f"{k}.png", noisy_image(40 + k))
        save_image(root / "bolt/train/good" / f"{k}.png", noisy_image(50 + k))
        save_image(root / "nut/train/good" / f"{k}.png", noisy_image(60 + k))
        save_image(root / "pin/train/good" / f"{k}.png", noisy_image(70 + k))
    return root


def evaluated(detector, root, **request):
    return evaluate(detector, detector.adapters[0], read_data(root), EvaluationRequest(**request))


def profile_for(detector, threshold=0.0, digest="0" * 64, **changes):
    running = detector.running(detector.adapters[0])
    return Profile(
        line="bolts",
        created=datetime(2026, 1, 2, tzinfo=UTC),
        adapter=running.adapter,
        backbone=running.backbone,
        backbone_sha256=running.backbone_sha256,
        device=running.device,
        size=running.size,
        smoothing=detector.smoothing[running.adapter],
        min_area_px=4,
        statistic=Statistic(a=0, b=1, a2=0, b2=1),
        threshold=threshold,
        uncertain_above=threshold - 0.5,
        map_limits=(-1.0, 1.0),
        calibration=Calibration(
            method="order-statistic", unit="file", n_good=9, n_constants=9, target=0.1, confidence=0.9,
            guarantee=None, quantiles={}, data_sha256=digest,
        ),
        **changes,
    )  # fmt: skip
