"""When two runtimes agree: margins, maps and distances are near, and no unit has another verdict."""

import pytest

from calibrate.parity.difference import ParityDifference

NEAR = ParityDifference(
    images=50, units=50, margin_max=6e-5, map_max=5e-5, distance_max=None, mask_tokens=100, mask_flips=0,
    auroc_before=None, auroc_after=None, flips=0, flips_low=0, flips_high=0.06, confidence=0.95, flips_at_old=1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "agrees"),
    [
        ({}, True),
        ({"distance_max": 1e-4}, True),
        ({"margin_max": 2e-3}, False),
        ({"map_max": 2e-3}, False),
        ({"distance_max": 2e-3}, False),
        ({"flips": 1}, False),
        ({"map_max": float("nan")}, False),
    ],
)
def test_agreement_takes_near_numbers_and_the_same_verdicts(change, agrees):
    assert NEAR.model_copy(update=change).agrees is agrees
