"""AUPRO against plain loops."""

import numpy as np
import pytest
from sklearn.metrics import auc

from calibrate.metrics.regions import aupro_exact, aupro_paper, pro_curve_points
from tests.factories.maps import CASES, image_set
from tests.golden.metrics4 import plain


@pytest.mark.parametrize(("maps", "masks"), CASES)
@pytest.mark.parametrize("limit", [0.3, 0.05, 1.0])
def test_exact_aupro_is_the_plain_loop(maps, masks, limit):
    assert aupro_exact(maps, masks, limit) == pytest.approx(plain.aupro_exact(maps, masks, limit), abs=1e-12)
    points = pro_curve_points(maps, masks, limit)
    assert points[-1, 0] == limit
    assert auc(points[:, 0], points[:, 1]) / limit == pytest.approx(aupro_exact(maps, masks, limit), abs=1e-12)


@pytest.mark.parametrize(("maps", "masks"), CASES)
def test_paper_aupro_is_the_plain_loop(maps, masks):
    mine = aupro_paper(maps, masks)
    if mine is None:
        with pytest.raises((ZeroDivisionError, ValueError)):
            plain.aupro_paper(maps, masks)
    else:
        assert mine == pytest.approx(plain.aupro_paper(maps, masks), abs=1e-12)


def test_regions_count_the_same_and_diagonals_hold_together():
    mask = np.zeros((1, 6, 6), bool)
    mask[0, :2, :2] = mask[0, 2, 2] = True
    mask[0, 5, 5] = True
    found = np.zeros(mask.shape, np.float32)
    found[0, 5, 5] = 1
    # One of two regions is found without a false alarm; the other lies level with all normal pixels.
    assert aupro_exact(found, mask) == pytest.approx(0.5 + 0.5 * 0.15)


@pytest.mark.parametrize("fill", [False, True])
def test_aupro_without_regions_or_without_normal_pixels_is_undefined(fill):
    maps, masks = image_set(3)
    masks[:] = fill
    for metric in (aupro_exact, aupro_paper, pro_curve_points):
        assert metric(maps, masks) is None
        assert metric(maps[:0], masks[:0]) is None


@pytest.mark.parametrize("limit", [0.0, -1.0, 1.5, float("nan")])
def test_limits_that_are_no_rate_are_refused(limit):
    with pytest.raises(ValueError, match="limit"):
        aupro_exact(*image_set(0), limit)
