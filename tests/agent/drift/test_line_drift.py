"""One line's watch: which values are beyond, what is found, what is said of it, and that a restart forgets nothing."""

import numpy as np
import pytest

from agent.drift.advice import FINDINGS, drift_report
from agent.drift.line_drift import LineDrift, drift_plan, reference_of, with_unit
from fbclip.artefacts.drift_reference import drift_reference
from tests.agent.drift.units import a_reference, a_unit, moment
from tests.factories.lines import a_profile

PLAN = drift_plan(a_reference(), 0.01)


def watched(units, plan=PLAN, state=None):
    state = state or plan.begin()
    for unit in units:
        state = with_unit(state, plan, unit)
    return state


def found_in(state, plan=PLAN):
    return [finding.statistic for finding in drift_report(state, plan, 0.01).findings]


def test_every_tail_has_words():
    assert set(PLAN.tails) == set(FINDINGS)


@pytest.mark.parametrize(
    ("values", "statistic"),
    [
        ({"z": 0.95}, "z_high"),
        ({"z": 0.05}, "z_low"),
        ({"light": 99.0}, "light_low"),
        ({"light": 102.0}, "light_high"),
        ({"sharpness": -2.1}, "sharpness_low"),
        ({"sharpness": -0.5}, "sharpness_high"),
        ({"displacement": 0.02}, "displacement_high"),
    ],
)
def test_each_measure_is_named_when_it_changes(values, statistic):
    state = watched([*(a_unit(i) for i in range(200)), *(a_unit(200 + i, **values) for i in range(40))])
    assert found_in(state) == [statistic]
    finding = drift_report(state, PLAN, 0.01).findings[0]
    assert (finding.since, finding.units, finding.beyond) == (moment(200), 40, 40)
    assert moment(205) < finding.found < moment(240)


def test_what_equals_the_limit_or_has_no_value_is_not_beyond():
    limit = PLAN.tails["z_high"]
    state = watched([*(a_unit(i, z=limit) for i in range(100)), *(a_unit(i, z=None) for i in range(100))])
    assert state.tails["z_high"].beyond == state.tails["z_low"].beyond == 0
    assert found_in(state) == []


def test_an_alarm_stays_and_its_evidence_goes_on():
    state = watched([a_unit(i, z=0.95) for i in range(40)])
    state = watched([a_unit(40 + i) for i in range(400)], state=state)
    report = drift_report(state, PLAN, 0.01)
    assert report.recalibrate
    assert (report.units, report.findings[0].units, report.findings[0].beyond) == (440, 440, 40)


def test_real_defects_count_and_the_evidence_says_so():
    state = watched([a_unit(i, anomaly=True, z=0.95) for i in range(40)])
    text = drift_report(state, PLAN, 0.01).note("belt")
    assert text.startswith("line belt: recalibrate: scores lie higher")
    assert "40 of 40 units (100%) above 0.79, at most " in text
    assert text.endswith("40 of them judged anomalous, and a run of real defects looks like this too")


def test_a_state_comes_back_as_it_was():
    state = watched([a_unit(i, z=0.95) for i in range(40)])
    again = LineDrift.model_validate_json(state.model_dump_json())
    assert again == state
    assert PLAN.fits(again)
    assert not drift_plan(a_reference(), 0.05).fits(again)
    assert not drift_plan(a_reference(pictures=False), 0.01).fits(again)


def test_a_profile_made_before_is_watched_by_its_scores(detector):
    scores = tuple(float(z) for z in np.arange(100))
    profile = a_profile(detector)
    old = profile.calibration.model_copy(update={"n_good": 100, "reference": scores})
    assert reference_of(profile) is None
    found = reference_of(profile.model_copy(update={"calibration": old}))
    assert set(found.tails) == {"z_low", "z_high"}
    several = old.model_copy(update={"unit": "folder"})
    # The largest of several images is not what one image is compared with.
    assert reference_of(profile.model_copy(update={"calibration": several})) is None


def test_a_reference_leaves_a_fifth_beyond_each_limit():
    z = np.random.default_rng(1).standard_normal(299)
    found = drift_reference(z, {"light": z + 100, "displacement": abs(z)}, 150)
    assert (found.units, found.beyond) == (150, 30)
    limits = np.float32([found.z.low, found.z.high])
    assert (int((z.astype(np.float32) < limits[0]).sum()), int((z.astype(np.float32) > limits[1]).sum())) == (59, 59)
    assert found.displacement.low is None
    assert drift_reference(z[:19], {}, 19) is None
