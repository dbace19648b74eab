"""Targets that are none are refused."""

import pytest

from calibrate.errors import RefusedError
from calibrate.threshold.request import ThresholdTarget


@pytest.mark.parametrize("bad", [(0.0, 0.95, 0.1), (0.01, 1.0, 0.1), (0.1, 0.9, 0.05)])
def test_impossible_targets_are_refused(bad):
    with pytest.raises(RefusedError, match="must lie between"):
        ThresholdTarget(*bad)
