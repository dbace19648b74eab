"""The compared methods against the numbers of their released code, where those are at hand."""

from pathlib import Path

import pytest

from fbclip.peers.config import NAMES
from fbclip.verification.golden import verify

AUTHORS = Path(__file__).parents[4] / "shared" / "golden" / "peers"

needs_authors = pytest.mark.skipif(not AUTHORS.is_dir(), reason="the released code's numbers are not at hand")


@needs_authors
@pytest.mark.parametrize("name", NAMES)
def test_released_numbers_agree(name):
    rows = verify(AUTHORS / name)
    assert len(rows) >= 12
    assert [(r.name, r.largest) for r in rows if not r.ok] == []
