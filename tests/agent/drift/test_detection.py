"""How soon a change is found, beside detectors of river and mapie on the same streams."""

import numpy as np
import pytest
from mapie.exchangeability_testing import OnlineMartingaleTest
from river.drift import ADWIN

from agent.drift.line_drift import DriftUnit, drift_plan, with_unit
from fbclip.artefacts.drift_reference import drift_reference
from tests.agent.drift.units import DAY, moment
from tests.factories.drift import NEVER, TAILS, SimulatedLines, ramp_from, step_at


@pytest.mark.parametrize(
    ("n", "shift", "share", "delay"),
    [
        (299, step_at(1000, 0.8), 0.95, 300),
        (299, step_at(1000, 3.0), 1.0, 40),
        (100, step_at(1000, 1.5), 0.95, 120),
        (299, ramp_from(0, 0.3), 0.95, 3000),
    ],
    ids=["new lot", "camera moved", "new lot, few units", "lamp ages"],
)
def test_a_change_is_found_in_time(n, shift, share, delay):
    """All seven tails are watched at 1 %, one of them changes. Delays are those of the median line."""
    began = 0 if n == 299 and delay == 3000 else 1000
    found = SimulatedLines(100, n, 0.01, TAILS, np.random.default_rng(3)).found(began + 4 * delay // 3 + 200, shift)
    assert not ((found != NEVER) & (found <= began)).any()
    assert (found != NEVER).mean() >= share
    assert np.median(found[found != NEVER]) - began <= delay


@pytest.mark.parametrize("change", [0.0, 1.5])
def test_the_watch_agrees_with_other_detectors_on_clear_cases(change):
    """They test other things: ADWIN that two parts of the stream differ, mapie's martingale that reference and stream
    could be in any order. A clear change is one to all three; where nothing changes the two with a bound are silent."""
    rng = np.random.default_rng(11)
    reference, stream = rng.standard_normal(299), rng.standard_normal(800)
    stream[400:] += change
    plan = drift_plan(drift_reference(reference, {}, 299), 0.01)
    state, adwin, martingale = (
        plan.begin(),
        ADWIN(delta=0.01),
        OnlineMartingaleTest(task="regression", test_level=0.01, warn=False, random_state=1),
    )
    history, mapie_says, river_says = list(reference), False, False
    for i, z in enumerate(stream):
        state = with_unit(state, plan, DriftUnit(moment(i), {"z": float(z)}, anomaly=False))
        adwin.update(float(z))
        river_says |= adwin.drift_detected
        p = martingale.compute_p_value(float(z), np.array(history))
        history.append(z)
        mapie_says |= martingale.update_simple_jumper_martingale(p) >= martingale.reject_threshold
    ours = state.tails["z_high"].found
    assert (ours is not None) == mapie_says == bool(change)
    if change:
        assert river_says
        assert 0 < (ours - moment(400)) / DAY <= 100
