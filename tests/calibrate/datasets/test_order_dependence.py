"""Whether pictures of units depend on those before them, and what `calibrate data` says of it."""

import cv2
import numpy as np
import pytest

from calibrate.datasets import read_data
from calibrate.datasets.capture_order import CaptureOrder
from calibrate.datasets.order_dependence import UnitPicture, dependence_text, order_dependence
from calibrate.datasets.summary import summarise, summary_text


def pictures(rng, n, strength=0.0):
    """n units; `strength`: how much of light, form and sharpness is that of the unit before."""
    state, out = rng.normal(size=3), {}
    base = cv2.resize(rng.normal(size=(4, 4)).astype(np.float32), (32, 32), interpolation=cv2.INTER_CUBIC)
    for number in range(n):
        state = strength * state + np.sqrt(1 - strength**2) * rng.normal(size=3)
        small = 120 + 10 * state[0] + (20 + 3 * state[1]) * base + rng.normal(0, 4, (32, 32))
        out[f"u{number}"] = UnitPicture(small.astype(np.float32), float(state[2]))
    return out


def found_in(units):
    return order_dependence(units, CaptureOrder("time", tuple(units)))


def test_independent_units_are_called_dependent_as_rarely_as_is_said():
    rng, draws = np.random.default_rng(1), 400
    called = sum(bool(found_in(pictures(rng, 20)).found) for _ in range(draws))
    # 400 draws at 1% call more than 9 with probability 0.008.
    assert called <= 9


def test_dependent_ones_are_found_and_counted_for_less():
    found = found_in(pictures(np.random.default_rng(2), 120, 0.9))
    assert {one.measure for one in found.found} >= {"brightness", "sharpness"}
    assert all(one.p_value <= 0.0025 for one in found.found)
    assert 2 <= found.effective < 40
    text = dependence_text(found)
    assert f"they count as about {found.effective}" in text
    assert "in the order of capture (collect.csv)" in text and "999 random orders, 1% in all" in text


def test_only_the_order_counts():
    """The same pictures in another order are independent."""
    units = pictures(np.random.default_rng(3), 120, 0.9)
    mixed = np.random.default_rng(4).permutation(list(units))
    assert not order_dependence(units, CaptureOrder("name", tuple(mixed))).found


def test_a_form_that_changes_slowly_is_found():
    rng = np.random.default_rng(5)
    one, other = (cv2.GaussianBlur(rng.normal(0, 90, (32, 32)).astype(np.float32), (0, 0), 2) for _ in range(2))
    share = np.linspace(0, 1, 40)
    units = {
        f"u{k}": UnitPicture((128 + (1 - s) * one + s * other + rng.normal(0, 1, (32, 32))).astype("f4"), 0.0)
        for k, s in enumerate(share)
    }
    assert "form" in {m.measure for m in found_in(units).found}


def test_few_units_are_said_to_be_too_few():
    found = found_in(pictures(np.random.default_rng(6), 7, 0.9))
    assert not found.tested
    assert dependence_text(found).startswith("7 units are too few to test")


@pytest.mark.parametrize("drifting", [False, True])
def test_the_command_says_it(tmp_path, drifting):
    """A lamp that fades over 30 units, or as much light at random."""
    rng = np.random.default_rng(7)
    light = np.linspace(1, 0.5, 30)
    for number, level in enumerate(light if drifting else rng.permutation(light)):
        image = rng.integers(60, 200, (40, 48, 3)) * level
        cv2.imwrite(str(tmp_path / f"{number}.png"), image.astype(np.uint8))
    summary = summarise(read_data(tmp_path))
    found = summary.dependence["all"]
    assert (found.by, found.units, bool(found.found)) == ("name", 30, drifting)
    text = summary_text(summary)
    assert ("30 units depend on those before them in the order of their file names" in text) is drifting
    assert ("of 30 units show no dependence" in text) is not drifting
    assert summary.as_dict()["dependence"]["all"]["units"] == 30
    assert summary.usable
