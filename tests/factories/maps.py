"""Small sets of anomaly maps and masks, and their metrics computed in one piece."""

import numpy as np
import pytest

from calibrate.metrics.ranking import auroc, average_precision, f1_max
from calibrate.metrics.regions import aupro_exact


def image_set(seed, count=3, size=9, levels=6, share=0.15):
    """Maps with many ties, some negative, and masks with several regions, also at the border."""
    rng = np.random.default_rng(seed)
    masks = rng.random((count, size, size)) < share
    maps = (rng.integers(0, levels, masks.shape) / levels - 0.4 + 0.2 * masks).astype(np.float32)
    return maps, masks


def cases():
    maps, masks = image_set(0)
    yield "ties", maps, masks
    yield "no ties", np.random.default_rng(1).random(maps.shape, np.float32), masks
    yield "constant", np.full_like(maps, 0.25), masks
    yield "perfect", masks.astype(np.float32), masks
    yield "reversed", -masks.astype(np.float32), masks
    one = np.zeros_like(masks)
    one[1, 6:, 4:] = True
    yield "one region at the border", maps, one
    thick = np.ones_like(masks)
    thick[0, 0, :4] = False
    yield "few normal pixels", maps, thick
    yield "both zeros", np.copysign(np.float32(0), maps), masks


CASES = [pytest.param(maps, masks, id=name) for name, maps, masks in cases()]


def smooth_set(seed=5):
    rng = np.random.default_rng(seed)
    masks = np.zeros((12, 96, 96), bool)
    for mask in masks[:9]:
        y, x = rng.integers(0, 80, 2)
        mask[y : y + rng.integers(2, 30), x : x + rng.integers(2, 30)] = True
    maps = rng.standard_normal(masks.shape, dtype=np.float32) + np.float32(2) * masks
    return maps, masks


def in_one(maps, masks):
    """AUROC, average precision, the best F1 with its threshold, and AUPRO."""
    f1 = f1_max(maps, masks) or (None, None)
    return [auroc(maps, masks), average_precision(maps, masks), *f1, aupro_exact(maps, masks)]
