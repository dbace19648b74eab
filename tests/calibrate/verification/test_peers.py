"""Golden optimiser steps of the compared methods' released code."""

from pathlib import Path

import pytest

from calibrate.verification.peers import verify_peer_training
from fbclip.errors import FbclipError
from fbclip.verification.peers import peer_case

OWN = Path(__file__).parents[2] / "golden" / "peers"
AUTHORS = Path(__file__).parents[4] / "shared" / "golden" / "peers"


@pytest.mark.skipif(not AUTHORS.is_dir(), reason="the released code's numbers are not at hand")
@pytest.mark.parametrize(("name", "count"), [("clipad", 15), ("anomalyclip", 13), ("afclip", 30), ("faprompt", 17)])
def test_released_training_steps_agree(name, count):
    case = peer_case(AUTHORS / name)
    assert case is not None
    rows = verify_peer_training(case)
    assert len(rows) == count
    assert [(r.name, r.largest) for r in rows if not r.ok] == []


def test_a_case_without_training_is_one_line():
    case = peer_case(OWN / "vanilla")
    assert case is not None
    with pytest.raises(FbclipError, match="holds no training part"):
        verify_peer_training(case)
