"""What stands against a profile for another runtime: promises and sight, never less than before."""

import pytest

from calibrate.parity.gate import refusals
from fbclip.artefacts.profile import Guarantee, RecallGuarantee
from fbclip.artefacts.sees import FoundShare, Sees
from tests.factories.models import tiny_profile


def sees(small, large, total=30, low=0.5):
    rows = (
        FoundShare(what="small", found=small, total=total, low=0.1, high=1),
        FoundShare(what="large", found=large, total=total, low=low, high=1),
    )
    return Sees(confidence=0.95, sizes=rows, kinds=())


def profile(rate=0.01, recall=None, seen=None):
    base = tiny_profile(sees=seen)
    promise = None if rate is None else Guarantee(false_alarm_rate=rate, confidence=0.95)
    found = None if recall is None else RecallGuarantee(recall=recall, confidence=0.95)
    changes = {"guarantee": promise, "recall_guarantee": found}
    return base.model_copy(update={"calibration": base.calibration.model_copy(update=changes)})


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (profile(0.01), profile(0.01), None),
        (profile(None), profile(None), None),
        (profile(0.01), profile(None), "1.00% false alarms would fall"),
        (profile(0.01), profile(0.02), "1.00% false alarms would fall"),
        (profile(recall=0.95), profile(recall=0.95), None),
        (profile(recall=0.95), profile(), "95.0% recall would fall"),
        (profile(seen=sees(20, 30)), profile(seen=sees(19, 30)), None),
        (profile(seen=sees(20, 30)), profile(seen=sees(18, 30)), "of 30 small defects it finds 18, before 20 of 30"),
        (profile(seen=sees(20, 30)), profile(seen=sees(20, 27)), "of 30 large defects it finds 27"),
        (profile(seen=sees(20, 30)), profile(seen=sees(25, 30, low=0.1)), "would be blind"),
        (profile(seen=sees(2, 3, low=0.1)), profile(seen=sees(2, 3, low=0.1)), None),
        (profile(), profile(seen=sees(0, 0, low=0.0)), None),
    ],
)
def test_what_would_fall_is_refused(old, new, why):
    found = refusals(old, new)
    assert (found == []) is (why is None)
    if why:
        assert why in found[0]
