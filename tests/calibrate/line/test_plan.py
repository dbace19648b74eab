"""How units are shared out: the threshold first, nothing twice, and words for what cannot be claimed."""

from pathlib import Path

import pytest

from calibrate.datasets.line_data import LineData
from calibrate.datasets.near_duplicates import NearDuplicates
from calibrate.datasets.sample import Sample
from calibrate.errors import RefusedError
from calibrate.line.plan import make_plan, plan_text, share_out
from calibrate.threshold.request import ThresholdTarget
from calibrate.threshold.split import needed_units

TARGET = ThresholdTarget(0.01, 0.95, 0.05)


@pytest.mark.parametrize("tested_apart", [True, False])
@pytest.mark.parametrize("n", [3, 10, 100, 318, 319, 325, 350, 400, 1000, 5000])
def test_the_threshold_gets_what_its_promise_takes(n, tested_apart):
    shares = share_out(n, TARGET, tested_apart)
    assert shares.total == n
    assert min(shares.memory, shares.scale, shares.threshold) >= 1
    assert shares.memory <= 100
    if n >= 319:
        assert shares.scale + shares.threshold >= needed_units(TARGET)
        assert shares.memory >= 10
    assert (shares.held_out > 0) == (n > 319 and not tested_apart)


def samples(n, label=False):
    return tuple(Sample(Path(f"{label}{k}.png"), f"{label}{k}", f"{label}{k}", label) for k in range(n))


def test_parts_share_no_unit_and_near_duplicates_stay_together():
    normal = samples(60)
    near = NearDuplicates((("False0", "False1"),), 60, {"False1": "False0"})
    target = ThresholdTarget(0.1, 0.9, 0.5)
    plan = make_plan(LineData(normal, (), (), samples(4, True)), (), near, target, False)
    parts = [{s.path for s in part} for part in (plan.memory, plan.threshold, plan.evaluated)]
    assert sum(map(len, parts)) == 64
    assert len(set.union(*parts)) == 64
    first, again = Path("False0.png"), Path("False1.png")
    assert any(first in part and again in part for part in parts)
    assert plan.shares.total == 59
    assert {s.unit for s in plan.memory} <= {s.unit for s in normal}
    text = "\n".join(plan_text(plan))
    assert "59 normal units" in text
    assert "1 more units look the same" in text
    assert "with 90% confidence at most 10% of normal units alarm" in text


def test_too_few_are_refused_with_what_they_carry():
    with pytest.raises(RefusedError, match=r"60 normal units; .* takes 319, 10 of them for the memory; these carry 7"):
        make_plan(LineData(samples(60), (), ()), (), NearDuplicates(), TARGET, False)
    plan = make_plan(LineData(samples(60), (), ()), (), NearDuplicates(), TARGET, True)
    text = "\n".join(plan_text(plan))
    assert "cannot be claimed: any false-alarm rate" in text
    assert "cannot be claimed: any recall" in text
    assert "evaluated on nothing" in text
    with pytest.raises(RefusedError, match="at least 3"):
        share_out(2, TARGET, True)
