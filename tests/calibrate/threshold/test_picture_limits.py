"""The stated bound on rejected normal units holds over many lines, and `moved` switches itself off."""

import hashlib

import cv2
import numpy as np
import pytest
from PIL import Image

from calibrate.datasets.reader import read_data
from calibrate.errors import RefusedError
from calibrate.profiles.history import earlier
from calibrate.profiles.placing import place_profile
from calibrate.threshold.picture_limits import MIN_UNITS, UnitExtremes, limits_of, measure_picture
from calibrate.threshold.profile import ProfileResult
from fbclip.artefacts.profile_file import load_profile, save_profile
from fbclip.images.framing import Framing
from tests.factories.lines import a_profile


def drawn(rng, n):
    """Units of a line whose four numbers depend on each other and have heavy tails."""
    common = rng.standard_t(3, n)
    return UnitExtremes(
        sharpness=-1 + 0.1 * common + 0.1 * rng.standard_t(3, n),
        highlights=np.clip(150 + 5 * common + 5 * rng.standard_normal(n), 1, 255),
        light=np.clip(100 + 5 * rng.standard_t(4, n), 1, 255),
        size=np.abs(0.01 * rng.standard_normal(n)),
        agreement=np.full(n, 0.9),
        first=np.zeros((n, 3)),
    )


def rejected_share(limits, units):
    moved = units.size > (np.inf if limits.moved is None else limits.moved.size)
    light = (units.highlights < limits.least_highlights) | (units.light > limits.most_light)
    return float((moved | light | (units.sharpness < limits.least_sharpness)).mean())


@pytest.mark.parametrize("n", [10, 30, 299])
def test_the_stated_bound_holds_as_often_as_stated(n):
    rng = np.random.default_rng(n)
    kept = []
    for _ in range(300):
        limits = limits_of(drawn(rng, n), 0.9, "r.png", "0" * 64)
        kept.append(rejected_share(limits, drawn(rng, 4000)) <= limits.bound)
    assert np.mean(kept) >= 0.9


@pytest.mark.parametrize("n", [10, 30, 299])
def test_the_bare_extremes_keep_the_bound_too_and_it_is_not_idle(n):
    """What is proved is a statement on the extremes themselves; margins only come on top."""
    rng = np.random.default_rng(n + 1)
    shares = []
    for _ in range(400):
        units, later = drawn(rng, n), drawn(rng, 4000)
        beyond = (
            (later.sharpness < units.sharpness.min())
            | (later.highlights < units.highlights.min())
            | (later.light > units.light.max())
            | (later.size > units.size.max())
        )
        shares.append(float(beyond.mean()))
    bound = limits_of(drawn(rng, n), 0.9, "r.png", "0" * 64).bound
    kept = np.mean(np.array(shares) <= bound)
    assert kept >= 0.9 - 0.03
    assert np.quantile(shares, 0.9) > bound / 3


def test_no_unit_that_was_measured_is_rejected_and_few_units_promise_less():
    rng = np.random.default_rng(1)
    bounds = []
    for n in (10, 40, 400):
        units = drawn(rng, n)
        limits = limits_of(units, 0.95, "r.png", "0" * 64)
        assert rejected_share(limits, units) == 0
        bounds.append(limits.bound)
    assert bounds == sorted(bounds, reverse=True)
    assert (bounds[0] > 0.5, bounds[-1] < 0.02) == (True, True)


def line(folder, count, jitter):
    """A weave with marks, the marks displaced by up to `jitter` px."""
    rng = np.random.default_rng(count)
    for number in range(count):
        scene = np.full((96, 128), 120.0, np.float32)
        dx, dy = rng.integers(-jitter, jitter + 1, 2) if jitter else (0, 0)
        for x, y in ((40, 30), (80, 60), (60, 48), (90, 30)):
            cv2.circle(scene, (int(x + dx), int(y + dy)), 6, 30.0, -1)
        image = (scene + rng.normal(0, 3, scene.shape)).clip(0, 255).astype(np.uint8)
        path = folder / "good" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.repeat(image[..., None], 3, axis=2)).save(path)
    return read_data(folder).samples


def test_a_line_with_a_place_checks_for_movement_and_one_without_says_why_not(tmp_path):
    fixed, loose = line(tmp_path / "fixed", 30, 0), line(tmp_path / "loose", 31, 25)
    found = measure_picture(fixed[:10], fixed[10:], Framing(), 0.95, "belt")
    moved = found.limits.moved
    assert (found.limits.n_units, moved.file) == (20, f"belt.reference-{moved.sha256[:12]}.png")
    assert hashlib.sha256(found.png).hexdigest() == moved.sha256
    check = found.check(Framing())
    pixels = np.asarray(Image.open(fixed[0].path))
    assert check.fault(pixels) is None
    assert check.fault(np.roll(pixels, 20, axis=1)).reason == "moved"
    off = measure_picture(loose[:10], loose[10:], Framing(), 0.95, "belt")
    assert (off.limits.moved, off.png) == (None, None)
    assert "normal images" in off.limits.not_moved_because
    assert off.check(Framing()).fault(np.ascontiguousarray(np.roll(pixels, 20, axis=1))) is None


def test_too_few_units_measure_nothing(tmp_path):
    samples = line(tmp_path / "few", MIN_UNITS + 4, 0)
    assert measure_picture(samples[:5], samples[5:], Framing(), 0.95, "belt") is None
    assert measure_picture([], samples, Framing(), 0.95, "belt") is None


def test_each_version_of_a_profile_keeps_its_reference_picture(tmp_path, detector):
    """Set anew and rolled back, a line is compared with the picture that its limits were measured with."""
    place, loaded = tmp_path / "belt.yaml", []
    for count in (30, 32):
        samples = line(tmp_path / str(count), count, 0)
        found = measure_picture(samples[:10], samples[10:], Framing(), 0.95, place.stem)
        assert found.limits.moved is not None
        place_profile(place, ProfileResult(a_profile(detector, picture=found.limits), None, picture=found))
        loaded.append(load_profile(place))
        assert np.array_equal(loaded[-1].reference, found.as_compared)
    number, stored = earlier(place, None)
    assert (number, stored.profile.id) == (1, loaded[0].profile.id)
    save_profile(stored.profile, place)
    assert np.array_equal(load_profile(place).reference, loaded[0].reference)
    (tmp_path / stored.profile.picture.moved.file).unlink()
    with pytest.raises(RefusedError, match="reference picture of version 1"):
        earlier(place, 1)
