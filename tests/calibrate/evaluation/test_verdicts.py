"""Verdicts counted in units and in images."""

import pytest
from scipy.stats import binomtest

from calibrate.evaluation.document import VerdictCounts
from calibrate.evaluation.evaluated_images import EvaluatedImage
from calibrate.evaluation.verdicts import confusion, kinds
from fbclip.decision import Verdict


def image(name, anomalous, verdict, unit=None, kind=None):
    return EvaluatedImage(name, "all", anomalous, kind, unit or name, name, verdict=Verdict(verdict))


def test_verdicts_are_counted_in_units_with_exact_intervals():
    images = [
        image("g1", False, "ok", "u1"),
        image("g2", False, "anomaly", "u1"),
        image("g3", False, "rejected", "u2"),
        image("g4", False, "uncertain", "u3"),
        image("g5", False, "ok", "u4"),
        image("b1", True, "ok", "u5", "dent"),
        image("b2", True, "anomaly", "u5", "dent"),
        image("b3", True, "ok", "u6", "cut"),
        image("b4", True, "uncertain", "u7"),
    ]
    found = confusion(images)
    assert found.units.normal == VerdictCounts(ok=1, uncertain=1, anomaly=1, rejected=1)
    assert found.units.anomalous == VerdictCounts(ok=1, uncertain=1, anomaly=1)
    assert found.images.normal == VerdictCounts(ok=2, uncertain=1, anomaly=1, rejected=1)
    for rate, k, n in ((found.false_alarm_rate, 1, 4), (found.recall, 1, 3)):
        exact = binomtest(k, n).proportion_ci(0.95, "exact")
        assert (rate.count, rate.total, rate.rate) == (k, n, k / n)
        assert (rate.low, rate.high) == pytest.approx((exact.low, exact.high))
    stored = {"units": 1, "ok": 0, "uncertain": 0, "anomaly": 1, "rejected": 0}
    assert kinds(images)["all"]["dent"].model_dump() == stored
    assert set(kinds(images)["all"]) == {"dent", "cut", "unnamed"}
    nothing = confusion([image("b", True, "ok")]).false_alarm_rate
    assert (nothing.rate, nothing.low, nothing.high) == (None, None, None)
