"""Golden optimiser steps of the authors."""

from pathlib import Path

import pytest

from calibrate.verification.training import verify_training

AUTHORS = Path(__file__).parents[4] / "shared" / "golden" / "square8"


@pytest.mark.skipif(not AUTHORS.is_dir(), reason="the authors' golden numbers are not at hand")
def test_authors_training_steps_agree():
    rows = verify_training(AUTHORS)
    assert len(rows) == 68
    assert [(r.name, r.largest) for r in rows if not r.ok] == []
