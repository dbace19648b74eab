"""A fusion is its formula, and what makes no sense is refused."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fbclip.detector import Job
from fbclip.memory.fusion import Fusion, Terms, fuse, fused_prediction
from tests.factories.models import tiny_fusion


def test_what_is_not_finite_stays_so():
    zero, one = np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)
    margin, values = fuse(float("nan"), zero, 1.0, one, tiny_fusion("memory"))
    assert np.isnan(margin)
    assert np.isfinite(values).all()
    holed = one.copy()
    holed[1, 2] = np.nan
    assert np.isnan(fuse(0.0, zero, 1.0, holed, tiny_fusion(share=0))[1]).sum() == 1
    with pytest.raises(ValueError, match="distances"):
        fused_prediction(Terms(0.0, zero), tiny_fusion())


def test_jobs_and_fusions_that_make_no_sense_are_refused(detector):
    with pytest.raises(ValueError, match="needs a memory"):
        Job(torch.zeros(1, 3, 32, 32), detector.adapters[0], 1.0, fusion=tiny_fusion())
    values = tiny_fusion().model_dump()
    for anomalous in (
        {"use": "memory"},
        {"image_share": 1.5},
        {"map_share": -0.1},
        {"memory_map": {"centre": 0, "spread": 0}},
        {"use": "zero-shot"},
    ):
        with pytest.raises(ValidationError):
            Fusion(**(values | anomalous))
