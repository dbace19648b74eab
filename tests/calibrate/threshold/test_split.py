"""Units are refused where they are too few, and the scale leaves the guarantee what it needs."""

import pytest

from calibrate.errors import RefusedError
from calibrate.threshold.request import ThresholdTarget
from calibrate.threshold.split import check_enough_anomalous, check_enough_normal, constant_units


def test_too_few_units_are_refused_with_the_number_needed():
    with pytest.raises(RefusedError, match="309 are needed") as caught:
        check_enough_normal(60, ThresholdTarget(0.01, 0.95, 0.05))
    assert "these carry" in str(caught.value)
    check_enough_normal(309, ThresholdTarget(0.01, 0.95, 0.05))


def test_too_few_defects_are_refused_with_the_number_needed():
    with pytest.raises(RefusedError, match=r"5 anomalous units .* 59 are needed; these carry 54\.9%"):
        check_enough_anomalous(5, 0.95, 0.95)
    with pytest.raises(RefusedError, match="59 are needed"):
        check_enough_anomalous(58, 0.95, 0.95)
    check_enough_anomalous(59, 0.95, 0.95)


@pytest.mark.parametrize("n", [20, 69, 100, 309, 1000, 5000])
def test_the_constants_never_eat_what_the_guarantee_needs(n):
    target = ThresholdTarget(0.05, 0.95, 0.25)
    spent = constant_units(n, target)
    assert spent == 10 or n // 5 >= spent
    assert spent <= 100
    if n >= 69:
        assert n - spent >= 59
