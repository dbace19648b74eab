"""Shares of units by verdict: exact intervals, and the kinds that are missed first."""

import pytest
from scipy.stats import binom

from calibrate.evaluation.document import KindCounts, VerdictCounts
from calibrate.report.verdicts import VerdictRow, kind_rows, whisker
from calibrate.report.wording import percent
from fbclip.decision import Verdict


def test_kinds_that_are_missed_come_first():
    kinds = {
        "a": {"dent": KindCounts(anomaly=3, ok=1), "scratch": KindCounts(anomaly=2)},
        "b": {"dent": KindCounts(rejected=1)},
    }
    found = [(row.class_name, row.name, row.total, row.rate(Verdict.ANOMALY).count) for row in kind_rows(kinds)]
    assert found == [("b", "dent", 1, 0), ("a", "dent", 4, 3), ("a", "scratch", 2, 2)]


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (1, 299)])
def test_the_interval_is_exact(k, n):
    row = VerdictRow("normal", VerdictCounts(anomaly=k, ok=n - k))
    low, high = row.rate(Verdict.ANOMALY).interval
    assert low == 0 if k == 0 else binom.sf(k - 1, n, low) == pytest.approx(0.025)
    assert high == 1 if k == n else binom.cdf(k, n, high) == pytest.approx(0.025)
    nothing = VerdictRow("normal", VerdictCounts()).rate(Verdict.OK)
    assert nothing.interval is None and nothing.rate is None
    assert whisker(nothing) == "" and "<circle" in whisker(row.rate(Verdict.ANOMALY))


def test_percentages_do_not_round_onto_the_ends():
    texts = [percent(v) for v in (None, 0, 1, 0.01, 0.00001, 0.99999, 0.9946, 0.123)]
    assert texts == ["n/a", "0%", "100%", "1%", "<0.01%", ">99.99%", "99.46%", "12.3%"]
