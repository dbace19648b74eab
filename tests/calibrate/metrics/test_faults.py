"""Numbers and shapes that no metric can be computed of."""

import numpy as np
import pytest

from calibrate.errors import DataError
from calibrate.metrics.points import pr_curve_points, roc_curve_points
from calibrate.metrics.ranking import auroc, average_precision, f1_max
from calibrate.metrics.regions import aupro_exact, aupro_paper, pro_curve_points
from calibrate.metrics.streaming import PixelStore
from tests.factories.maps import image_set


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(bad):
    maps, masks = image_set(2)
    maps[1, 2, 3] = bad
    for metric in (auroc, average_precision, f1_max, roc_curve_points, pr_curve_points):
        with pytest.raises(DataError, match="not finite"):
            metric(maps, masks)
    for metric in (aupro_exact, aupro_paper, pro_curve_points):
        with pytest.raises(DataError, match="not finite"):
            metric(maps, masks)
    with PixelStore() as store, pytest.raises(DataError, match="not finite"):
        store.add(maps[1], masks[1])


def test_shapes_that_do_not_fit_are_refused():
    maps, masks = image_set(0)
    for metric in (auroc, aupro_exact, aupro_paper):
        with pytest.raises(DataError, match="shape"):
            metric(maps, masks[:, :-1])
    with PixelStore() as store, pytest.raises(DataError, match="equal images"):
        store.add(maps[0], masks[0, :-1])
