"""Painted defects that the ignore mask covers are no defects."""

from dataclasses import replace

import numpy as np
import pytest

from calibrate.datasets.reader import read_data
from calibrate.defects.on_images import DefectRequest, Item
from calibrate.embedded.samples.files import write_calibration
from calibrate.errors import DataError
from calibrate.inference import HIDDEN, ItemTerms, Skipped, Skips, View
from fbclip.detector import open_detector
from fbclip.images.framing import Framing


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    write_calibration(folder, "inbox", 2)
    return read_data(folder).normal()


@pytest.fixture(scope="module")
def view():
    detector = open_detector("embedded", device="cpu")
    return View(detector, detector.adapters[0])


def test_a_painted_defect_below_the_ignore_mask_is_skipped(samples, view):
    items = [Item(samples[0]), Item(samples[0], DefectRequest(("hole",), (1, 2)))]
    plain, painted = view.terms(items)
    assert isinstance(plain, ItemTerms)
    assert isinstance(painted, ItemTerms)
    mask = painted.framed.mask
    assert mask.any()
    for ignore, visible in ((mask, False), (~mask, True), (np.zeros_like(mask), True)):
        plain, painted = replace(view, framing=Framing(mask=ignore)).terms(items)
        assert isinstance(plain, ItemTerms)
        assert isinstance(painted, ItemTerms) == visible
        assert visible or painted == Skipped(samples[0], HIDDEN)


def test_only_usable_samples_are_scored_and_the_others_are_listed_or_refused(samples, view, tmp_path):
    broken = replace(samples[0], path=tmp_path / "broken.png")
    broken.path.write_bytes(b"no image")
    skips = Skips(allowed=True)
    done = []
    scored = list(view.score_usable([samples[0], broken, samples[1]], skips, done.append))
    assert [s.sample for s in scored] == samples
    assert [s.sample for s in skips.skipped] == [broken]
    assert done == [3]
    with pytest.raises(DataError, match=r"broken\.png"):
        list(view.score_usable([broken], Skips()))
