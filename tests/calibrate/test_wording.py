"""Lists, counts and shares as every report writes them."""

import pytest

from calibrate.wording import listed, percent, plural


def test_long_lists_end_with_how_many_more():
    assert listed(["a", "b"]) == "a, b"
    assert listed(range(7), "; ") == "0; 1; 2; 3; 4 and 2 more"


def test_one_unit_is_no_units():
    assert [plural(n, "unit") for n in (0, 1, 2, 1200)] == ["0 units", "1 unit", "2 units", "1,200 units"]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0%"),
        (0.005, "0.5%"),
        (0.0123, "1.2%"),
        (0.5, "50%"),
        (0.9934, "99.34%"),
        (1.0, "100%"),
        (0.99999, ">99.99%"),
        (0.00001, "<0.01%"),
    ],
)
def test_shares_are_never_rounded_onto_the_ends(share, text):
    assert percent(share) == text
