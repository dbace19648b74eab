"""A threshold counts units that look alike once and dependent ones for less, says so, or takes the user's word."""

import cv2
import numpy as np
import pytest

from calibrate.datasets.capture_order import capture_order
from calibrate.datasets.line_data import select
from calibrate.datasets.reader import read_data
from calibrate.errors import RefusedError
from calibrate.inference import Skips
from calibrate.threshold.guarantee_text import guarantee_text
from calibrate.threshold.profile import make_profile
from calibrate.threshold.request import ThresholdRequest, ThresholdTarget
from tests.factories.lines import unit_of_the_line
from tests.factories.models import tiny_detector

TARGET = ThresholdTarget(0.3, 0.8, 0.5)  # 5 units and 10 for the scale


def a_line(folder, images):
    (folder / "good").mkdir()
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / "good" / f"{number}.png"), image)
    return folder


def make(folder, **changes):
    data = select(read_data(folder), None, with_anomalous=False)
    request = ThresholdRequest("belt", data, TARGET, order=capture_order(folder, data.normal), **changes)
    detector = tiny_detector()
    return make_profile(detector, detector.adapters[0], request, lambda _: None, Skips()).profile.calibration


@pytest.fixture(scope="module")
def doubled(tmp_path_factory):
    """16 units; five of them were photographed again, with the camera's noise."""
    rng = np.random.default_rng(1)
    parts = [unit_of_the_line(seed) for seed in range(11)]
    again = [np.clip(p + rng.normal(0, 2, p.shape), 0, 255).astype(np.uint8) for p in parts[:5]]
    return a_line(tmp_path_factory.mktemp("doubled"), [*parts, *again])


def test_near_duplicates_count_once(doubled):
    with pytest.raises(
        RefusedError, match=r"^5 units look the same as others, such as .* 11 normal units cannot carry"
    ):
        make(doubled)
    found = make(doubled, best_effort=True)
    assert found.independence.near_duplicates == 5
    assert found.n_good + found.n_constants == 11
    assert "5 units look the same as others and were merged" in guarantee_text(found).units


def test_the_users_word_counts_them_and_is_recorded(doubled):
    found = make(doubled, assume_independent=True)
    assert found.guarantee is not None
    assert (found.independence.assumed, found.independence.near_duplicates) == (True, 5)
    assert found.counted_units == found.n_good == 6
    assert "independence is the user's word" in guarantee_text(found).units


def test_units_that_drift_are_worth_fewer(tmp_path):
    """The line gets darker and darker, so that z follows the order of the files."""
    parts = [unit_of_the_line(seed) for seed in range(40)]
    line = a_line(tmp_path, [np.clip(p * (1 - n / 60), 0, 255).astype(np.uint8) for n, p in enumerate(parts)])
    with pytest.raises(RefusedError, match=r"depend on each other in the order of their file names .* they count as"):
        make(line)
    found = make(line, best_effort=True)
    assert found.guarantee is None
    assert found.independence.dependent
    assert found.counted_units == found.independence.effective < 5
    vouched = make(line, assume_independent=True)
    assert vouched.guarantee is not None
    assert vouched.independence.dependent


def test_times_of_collect_count_before_names(tmp_path):
    a_line(tmp_path, [unit_of_the_line(seed) for seed in range(3)])
    data = read_data(tmp_path).normal()
    assert capture_order(tmp_path, data).by == "name"
    rows = "\n".join(f"{n}.png,{n},belt,2026-01-01T00:00:0{9 - n}+00:00," for n in range(3))
    (tmp_path / "collect.csv").write_text(f"file,unit,line,ts,frame_number\n{rows}\n")
    order = capture_order(tmp_path, read_data(tmp_path).normal())
    assert (order.by, order.units) == ("time", ("belt/2", "belt/1", "belt/0"))
