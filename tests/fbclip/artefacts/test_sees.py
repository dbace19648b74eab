"""When a profile counts as blind."""

import pytest

from fbclip.artefacts.sees import FoundShare, Sees, sees_summary


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


def test_in_a_few_words():
    small = FoundShare(what="small", found=1, total=30, low=0, high=0.2)
    large = FoundShare(what="large", found=29, total=30, low=0.83, high=1)
    real = FoundShare(what="real", found=7, total=9, low=0.4, high=1)
    sees = Sees(confidence=0.95, sizes=(small, large), kinds=(), real=real)
    assert (
        sees_summary(sees)
        == "finds 29 of 30 large painted defects, 1 of 30 small painted defects, 7 of 9 anomalous units"
    )
    assert sees_summary(_sees(1, 30, 0.01)) == "BLIND: finds 1 of 30 large painted defects"
    assert sees_summary(_sees(0, 0, 0.0)) == "BLIND: finds nothing that was measured"
