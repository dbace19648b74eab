"""When a profile counts as blind."""

import pytest

from fbclip.artefacts.sees import FoundShare, Sees


def _sees(found: int, total: int, low: float) -> Sees:
    row = FoundShare(what="large", found=found, total=total, low=low, high=1)
    return Sees(confidence=0.95, sizes=(row,), kinds=())


def test_the_lower_bound_of_large_defects_decides():
    assert not _sees(5, 5, 0.478).blind
    assert not _sees(9, 20, 0.3).blind
    assert _sees(4, 5, 0.284).blind
    assert _sees(0, 0, 0.0).blind


def test_without_large_defects_nothing_is_shown():
    assert Sees(confidence=0.95, sizes=(), kinds=()).blind


def test_more_found_than_painted_is_refused():
    with pytest.raises(ValueError, match="found 3 of 2"):
        FoundShare(what="large", found=3, total=2, low=0, high=1)
