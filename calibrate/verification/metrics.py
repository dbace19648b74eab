"""Golden metrics cases: stored scores, maps and masks, and the four values that the released code makes of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch

from calibrate.errors import DataError
from calibrate.metrics.ranking import Array, auroc, average_precision
from calibrate.metrics.regions import aupro_paper
from fbclip.errors import FbclipError
from fbclip.verification.deviation import Deviation, read_safetensors

TOLERANCE = 1e-6
NAMES = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro")


def verify_metrics(folder: Path) -> list[Deviation]:
    """Absolute deviations of the four values of `expected.json` from ours on `case.safetensors`.

    That holds labels (N,) and scores (N,), masks (N,H,W) and maps (N,H,W); labels and masks are 0 or 1. Raises
    FbclipError for files that are not of this form, DataError for numbers that no metric can be made of.
    """
    expected = _read_expected(folder / "expected.json")
    scores, labels, maps, masks = _read_arrays(folder / "case.safetensors")
    actual = {
        "image_auroc": auroc(scores, labels),
        "image_ap": average_precision(scores, labels),
        "pixel_auroc": auroc(maps, masks),
        "pixel_aupro": aupro_paper(maps, masks),
    }
    rows = []
    for name in NAMES:
        value = actual[name]
        if value is None:
            raise DataError(f"{folder}: {name} is undefined: the case holds one class only, or its maps are constant")
        rows.append(Deviation(name, abs(value - expected[name]), TOLERANCE))
    return rows


def _read_expected(path: Path) -> dict[str, float]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"), parse_int=float)
    except (OSError, ValueError) as error:
        raise FbclipError(f"{path}: cannot be read: {error}") from error
    if not isinstance(read, dict) or set(read) != set(NAMES):
        raise FbclipError(f"{path}: must hold exactly {', '.join(NAMES)}")
    for name, value in read.items():
        if not isinstance(value, float) or not math.isfinite(value):
            raise FbclipError(f"{path}: {name}: {value!r} is not a finite number")
    return read


def _read_arrays(path: Path) -> tuple[Array, Array, Array, Array]:
    """Scores, labels, maps, masks."""
    tensors = read_safetensors(path)
    missing = sorted({"labels", "scores", "masks", "maps"} - tensors.keys())
    if missing:
        raise FbclipError(f"{path}: holds no {', '.join(missing)}")
    labels, scores, masks, maps = (tensors[name] for name in ("labels", "scores", "masks", "maps"))
    if labels.ndim != 1 or scores.shape != labels.shape:
        raise FbclipError(f"{path}: scores {tuple(scores.shape)} and labels {tuple(labels.shape)} are not both (N,)")
    if maps.ndim != 3 or masks.shape != maps.shape or len(maps) != len(labels):
        raise FbclipError(
            f"{path}: maps {tuple(maps.shape)} and masks {tuple(masks.shape)} are not both ({len(labels)},H,W)"
        )
    for name, tensor in (("scores", scores), ("maps", maps)):
        if tensor.dtype not in (torch.float32, torch.float64):
            raise FbclipError(f"{path}: {name} are {tensor.dtype}, neither float32 nor float64")
        if not tensor.isfinite().all():
            raise DataError(f"{path}: {name} are not finite")
    for name, tensor in (("labels", labels), ("masks", masks)):
        if not ((tensor == 0) | (tensor == 1)).all():
            raise DataError(f"{path}: {name} are not all 0 or 1")
    return scores.numpy(), np.asarray(labels.numpy(), bool), maps.numpy(), np.asarray(masks.numpy(), bool)
