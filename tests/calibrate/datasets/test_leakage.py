"""Images and units that two groups share."""

from pathlib import Path

import pytest

from calibrate.datasets.leakage import check_disjoint, check_unseen, shared_images
from calibrate.datasets.sample import Sample
from calibrate.errors import DataError


def sample(name, unit=None, digest=None):
    return Sample(Path(f"{name}.png"), unit or name, digest or f"sha of {name}")


ONE, OTHER = sample("1"), sample("2")
COPY = sample("copy", digest=ONE.sha256)
PART = sample("part", unit=OTHER.unit)


def test_an_image_is_shared_by_its_bytes_or_else_by_its_unit():
    found = list(shared_images([sample("3"), COPY, PART, ONE], [ONE, OTHER]))
    assert [(s.sample, s.twin, s.same_bytes) for s in found] == [
        (COPY, ONE, True),
        (PART, OTHER, False),
        (ONE, ONE, True),
    ]


def test_parts_that_share_something_are_refused_by_name():
    check_disjoint({"a": [ONE], "b": [OTHER], "c": []})
    with pytest.raises(DataError, match=r"copy\.png \(b\) is the same image as 1\.png \(a\)"):
        check_disjoint({"a": [ONE], "b": [OTHER, COPY]})
    with pytest.raises(DataError, match=r"part\.png: unit '2' is in a and in c"):
        check_disjoint({"a": [OTHER], "b": [], "c": [PART]})


def test_images_that_were_seen_are_refused_with_where_and_what_to_do():
    seen = {"nothing": frozenset(), "the memory m": frozenset({ONE.sha256})}
    check_unseen([OTHER, PART], seen, "take others")
    with pytest.raises(DataError, match=r"1\.png is in the memory m as well \(2 of 3 images are\); take others"):
        check_unseen([OTHER, ONE, COPY], seen, "take others")
