"""Several images of one part: one verdict, the worst, whatever their order."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.pipeline.part_verdict import part_verdict, with_image
from agent.records import TriggeredPart
from fbclip.decision import Verdict
from tests.factories.agent import a_judged, an_inspection

PART = TriggeredPart(1, "belt", datetime(2026, 1, 1, tzinfo=UTC), 1.0, 1.0, 6.0, 3, {"part": "A"})
OK, UNCERTAIN, ANOMALY, REJECTED = Verdict.OK, Verdict.UNCERTAIN, Verdict.ANOMALY, Verdict.REJECTED


def of(verdicts, zs=None):
    so_far = None
    for seq, verdict in enumerate(verdicts, start=1):
        inspection = an_inspection(verdict, seq)
        if zs is not None:
            inspection = replace(inspection, decision=replace(inspection.decision, z=zs[seq - 1]))
        so_far = with_image(so_far, a_judged(inspection))
    return part_verdict(so_far, PART).inspection


@pytest.mark.parametrize(
    ("verdicts", "says"),
    [
        ((OK, OK, OK), OK),
        ((OK, UNCERTAIN, OK), UNCERTAIN),
        ((OK, UNCERTAIN, REJECTED), REJECTED),
        ((ANOMALY, UNCERTAIN, REJECTED), ANOMALY),
    ],
)
def test_any_anomaly_then_any_rejected_then_any_uncertain(verdicts, says):
    for order in itertools.permutations(verdicts):
        assert of(order).decision.verdict is says


def test_the_worst_image_is_shown_with_the_context_of_the_part():
    found = of((ANOMALY, ANOMALY, ANOMALY), (2.0, 9.0, 3.0))
    assert (found.frame_seq, found.decision.z) == (2, 9.0)
    assert found.context == {"part": "A", "frames": 3, "judged": 3}


def test_images_that_never_came_leave_no_verdict_but_hide_no_anomaly():
    unseen = a_judged(an_inspection(REJECTED, 9))
    for verdict, says in ((OK, REJECTED), (ANOMALY, ANOMALY)):
        so_far = with_image(None, a_judged(an_inspection(verdict, 1)))
        found = part_verdict(with_image(so_far, unseen, unseen=True), PART).inspection
        assert found.decision.verdict is says
        assert found.context["judged"] == 1
