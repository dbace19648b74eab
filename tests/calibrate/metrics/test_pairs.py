"""The pixel AUROC of every draw, as a sum over pairs of images."""

import numpy as np
import pytest

from calibrate.metrics.ranking import auroc
from calibrate.statistics.bootstrap import count_pairs


@pytest.mark.parametrize("levels", [6, 10_000])
def test_pairs_give_the_pixel_auroc_of_every_draw(levels):
    rng = np.random.default_rng(2)
    shapes = [(4, 5), (3, 3), (6, 2), (1, 1), (5, 5)]
    values = [rng.integers(0, levels, shape).astype(np.float32) for shape in shapes]
    masks = [rng.random(shape) < share for shape, share in zip(shapes, (0.3, 0, 0.5, 1, 0.1), strict=True)]
    pairs = count_pairs(values, masks)
    for weights in (np.ones(5), np.array([2.0, 1, 0, 1, 3])):
        # As many copies of an image as its weight says.
        copies = np.repeat(np.arange(5), weights.astype(int))
        pixels = np.concatenate([values[n].ravel() for n in copies])
        labels = np.concatenate([masks[n].ravel() for n in copies])
        assert pairs.auroc(weights[None])[0] == pytest.approx(auroc(pixels, labels), abs=1e-12)
    # The one image that is all defect, and none at all.
    assert np.isnan(pairs.auroc(np.array([[0.0, 0, 0, 1, 0], [0.0, 1, 0, 0, 0]]))).all()
    assert np.isnan(count_pairs(values, [np.zeros(shape, bool) for shape in shapes]).auroc(np.ones((1, 5)))).all()
