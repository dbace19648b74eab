"""What one process tells another of an image: everything but the sample, bit for bit."""

from pathlib import Path

import numpy as np
import pytest

from calibrate.datasets.sample import Sample
from calibrate.evaluation.shares import packed, unpacked
from calibrate.inference import Scored, Skipped
from fbclip.decision import Prediction
from fbclip.images.geometry import Placement

SAMPLE = Sample(Path("a.png"), "a", "0" * 64)


@pytest.mark.parametrize(("ignored", "fault"), [(False, None), (True, "blurred")])
def test_a_result_arrives_as_it_was(ignored, fault):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((7, 5), np.float32) * 1e3
    ignore = rng.random((7, 5)) > 0.5 if ignored else None
    sent = Scored(SAMPLE, Prediction(0.1 + 0.2, 1e-17, values), Placement(1, 2, 30, 40), ignore, fault)
    found = unpacked(packed(sent), SAMPLE)
    assert isinstance(found, Scored)
    assert (found.prediction.margin, found.prediction.score) == (0.1 + 0.2, 1e-17)
    assert np.array_equal(found.prediction.map, values) and found.prediction.map.dtype == np.float32
    assert (found.placement, found.fault, found.sample) == (sent.placement, fault, SAMPLE)
    assert found.ignore is None if ignore is None else np.array_equal(found.ignore, ignore)


def test_a_skipped_image_arrives_with_its_reason():
    assert unpacked(packed(Skipped(SAMPLE, "truncated: »ä«")), SAMPLE) == Skipped(SAMPLE, "truncated: »ä«")
