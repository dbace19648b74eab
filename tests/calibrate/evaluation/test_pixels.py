"""Pixel numbers: ignored pixels, and the released code's probability maps."""

import numpy as np
import pytest
import torch

from calibrate.evaluation.pixels import ClassPixels, PaperMaps
from calibrate.metrics.ranking import auroc
from calibrate.metrics.regions import aupro_exact, aupro_paper
from fbclip.errors import ConfigError
from fbclip.images.framing import Framing
from fbclip.images.tiling import Tiling
from fbclip.method.maps import smooth_map
from tests.factories.evaluations import evaluated


def test_ignored_pixels_do_not_count():
    rng = np.random.default_rng(4)
    values = rng.normal(size=(3, 24, 24)).astype(np.float32)
    masks = np.zeros(values.shape, bool)
    masks[0, 4:12, 2:20] = masks[1, 15:20, 3:9] = True
    ignore = np.zeros((24, 24), bool)
    ignore[:, 10:12] = True
    with ClassPixels() as store:
        for value, mask in zip(values, masks, strict=True):
            store.add(value, mask, ignore)
        found = store.numbers(False)
    kept = np.broadcast_to(~ignore, values.shape)
    assert found.auroc == pytest.approx(auroc(values[kept], masks[kept]))
    # Ignored columns part the first defect in two.
    regions = [values[0, 4:12, 2:10], values[0, 4:12, 12:20], values[1, 15:20, 3:9]]
    normal = values[kept & ~masks]
    levels = np.unique(values[kept])[::-1]
    rate = np.array([0.0, *((normal >= level).mean() for level in levels)])
    overlap = np.array([0.0, *(np.mean([(r >= level).mean() for r in regions]) for level in levels)])
    inside = rate < 0.3
    x = np.append(rate[inside], 0.3)
    y = np.append(overlap[inside], np.interp(0.3, rate, overlap))
    assert found.aupro == pytest.approx(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / 0.3)
    with ClassPixels() as store:
        store.add(values[0], masks[0], np.zeros((24, 24), bool))
        unmasked = store.numbers(False)
    assert unmasked.aupro == pytest.approx(aupro_exact(values[:1], masks[:1]))


def test_paper_maps_are_probabilities_smoothed_on_the_grid_of_patches(detector, root):
    torch.manual_seed(0)
    grid = torch.randn(1, 37, 37) * 4
    smoothed = smooth_map(grid, 518, 4.0, 4.0)[0].numpy()
    expected = smooth_map(torch.sigmoid(grid), 518, 4.0, 4.0)[0].numpy()
    assert np.abs(PaperMaps(518, 14, 4.0).probabilities(smoothed) - expected).max() < 1e-5
    with pytest.raises(ConfigError, match="--paper"):
        PaperMaps(518, 14, 40.0)
    with pytest.raises(ConfigError, match="--paper"):
        PaperMaps(518, 14, 4.0).probabilities(np.random.default_rng(0).normal(size=(518, 518)).astype(np.float32))
    with pytest.raises(ConfigError, match="tiles"):
        evaluated(detector, root, paper=True, framing=Framing(tiling=Tiling(columns=2, rows=1)))
    found = evaluated(detector, root, paper=True)
    assert found.document.classes["bolt"].image_auroc == evaluated(detector, root).document.classes["bolt"].image_auroc
    with ClassPixels() as store:
        rng = np.random.default_rng(1)
        values, masks = rng.random((2, 16, 16), np.float32), np.zeros((2, 16, 16), bool)
        masks[0, 3:8, 3:8] = True
        for value, mask in zip(values, masks, strict=True):
            store.add(value, mask, None)
        assert store.numbers(True).aupro == pytest.approx(aupro_paper(values, masks))
