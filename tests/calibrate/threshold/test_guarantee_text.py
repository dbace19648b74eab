"""The guarantee in words: promised, not promised and measured."""

from typing import Any

import pytest

from calibrate.report.findings import promise as headline
from calibrate.threshold.guarantee_text import guarantee_text
from fbclip.artefacts.profile import Calibration, Guarantee, MeasuredRates, RecallGuarantee
from fbclip.artefacts.seal import Seal


def calibration(**changes: Any) -> Calibration:
    values = {
        "method": "order-statistic",
        "unit": "file",
        "n_good": 299,
        "n_constants": 74,
        "exceedances": 0,
        "target": 0.01,
        "confidence": 0.95,
        "uncertain_target": 0.05,
        "guarantee": Guarantee(false_alarm_rate=0.01, confidence=0.95),
        "quantiles": {},
        "data_sha256": "0" * 64,
    }
    return Calibration(**(values | changes))


def test_both_promises_and_what_stands_behind_them():
    promise = RecallGuarantee(recall=0.9, confidence=0.95)
    text = guarantee_text(
        calibration(method="recall", n_bad=59, recall_target=0.9, recall_guarantee=promise, exceedances=2)
    )
    assert text.promised
    assert text.recall_promised
    assert text.false_alarms == "with 95% confidence at most 1% of normal units alarm"
    assert text.recall == "with 95% confidence at least 90% of anomalous units like these alarm"
    assert text.units == (
        "299 normal units and 59 anomalous ones, 2 normal ones above the threshold; 74 others set the scale"
    )
    assert (text.unit, text.measured) == ("file", ())
    assert "alarm or are uncertain" in guarantee_text(calibration(bounds="uncertain")).false_alarms


def test_what_units_can_show_at_best_where_they_are_too_few():
    text = guarantee_text(calibration(n_good=20, guarantee=None, recall_target=0.9, n_bad=1))
    assert not text.promised
    assert text.false_alarms == (
        "20 normal units can at best show that at most 13.9% of normal units alarm, with 95% confidence"
    )
    assert not text.recall_promised
    assert text.recall == (
        "1 anomalous unit can at best show that at least 5% of anomalous units alarm, with 95% confidence"
    )


@pytest.mark.parametrize(("method", "how"), [("f1", "where F1 is best"), ("manual", "by hand")])
def test_a_threshold_without_a_bound_says_how_it_was_set_and_what_it_did(method, how):
    rates = MeasuredRates(
        confidence=0.95,
        n_good=100,
        false_alarms=3,
        false_alarm_low=0.006,
        false_alarm_high=0.085,
        n_bad=20,
        misses=1,
        recall_low=0.75,
        recall_high=0.999,
    )
    text = guarantee_text(calibration(method=method, guarantee=None, measured=rates, unit=r"name:part(\d+)"))
    assert text.false_alarms == f"the threshold was set {how}, which bounds no rate"
    assert text.recall is None
    assert text.measured == (
        "3 of 100 normal units alarm, 0.6% to 8.5% at 95% confidence",
        "19 of 20 anomalous units alarm, 75% to 99.9% at 95% confidence",
    )
    assert text.unit == r"part, named by part(\d+) in its file name"


def test_the_seal_is_part_of_the_words():
    edited = guarantee_text(calibration(guarantee=None, recall_target=0.9), Seal.EDITED)
    assert edited.false_alarms.endswith("(edited)")
    assert (edited.promised, edited.recall) == (False, None)
    assert headline(calibration(guarantee=None), Seal.EDITED).head.startswith("No guarantee: the profile was edited")
    assert guarantee_text(calibration(), Seal.UNSEALED).false_alarms.endswith("(unsealed)")
