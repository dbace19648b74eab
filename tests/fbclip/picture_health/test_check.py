"""Each disturbance of a picture has its reason; light and contrast alone are no blur, and a defect is none of them."""

import cv2
import numpy as np
import pytest

from fbclip.images.framing import Framing
from fbclip.images.geometry import Roi
from fbclip.picture_health.check import PictureCheck
from fbclip.picture_health.displacement import Alignment
from fbclip.picture_health.grey_view import grey_view, reference_shape
from fbclip.picture_health.light import light
from fbclip.picture_health.limits import MovedLimits, PictureLimits
from fbclip.picture_health.sharpness import sharpness

HEIGHT, WIDTH = 240, 320


def picture(seed=0, shift=(0, 0), angle=0.0):
    """Plates and screws on a sheet, the same in every picture, with other noise and grain."""
    scene = np.full((HEIGHT, WIDTH), 90, np.float32)
    chance = np.random.default_rng(7)
    for _ in range(24):
        x, y = int(chance.integers(20, WIDTH - 20)), int(chance.integers(20, HEIGHT - 20))
        cv2.circle(scene, (x, y), int(chance.integers(3, 12)), float(chance.integers(30, 200)), -1, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), angle, 1.0)
    turn[:, 2] += shift
    scene = cv2.warpAffine(scene, turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    grain = np.random.default_rng(seed).normal(0, 4, scene.shape)
    return np.repeat((scene + grain).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def check_of(framing=Framing(), **changes):
    view = grey_view(picture(), framing)
    reference = view.resized(reference_shape(view, 96)).round()
    values = {
        "n_units": 300, "bound": 0.03, "confidence": 0.95,
        "least_sharpness": sharpness(view) - 0.45,
        "least_highlights": 0.93 * light(view).highlights, "most_light": 1.08 * light(view).mean,
        "moved": MovedLimits(file="r.png", sha256="0" * 64, size=0.016, least_agreement=0.4),
    }  # fmt: skip
    limits = PictureLimits(**(values | changes))
    return PictureCheck(limits, framing, None if limits.moved is None else reference)


def reason(image, **changes):
    found = check_of(**changes).fault(np.ascontiguousarray(image))
    return None if found is None else found.reason


@pytest.mark.parametrize("seed", range(1, 6))
def test_pictures_that_differ_by_noise_alone_pass(seed):
    assert reason(picture(seed)) is None


@pytest.mark.parametrize("shift", [(10, 0), (-30, 0), (0, 30), (0, -60), (60, 0), (-20, 20)])
def test_a_shift_is_named_with_its_way(shift):
    found = check_of().fault(picture(1, shift))
    assert found.reason == "moved"
    words = [word for value, word in zip(shift, ("right", "down"), strict=True) if value > 0]
    words += [word for value, word in zip(shift, ("left", "up"), strict=True) if value < 0]
    assert all(word in found.advice for word in words), found.advice
    pixels = [int(part.split(" px")[0].split()[-1]) for part in found.advice.split(":")[0].split(",") if " px" in part]
    assert max(pixels) == pytest.approx(max(map(abs, shift)), abs=6)


@pytest.mark.parametrize("angle", [5, 10, -10])
def test_a_turn_is_moved_too(angle):
    found = check_of().fault(picture(1, angle=angle))
    assert found.reason == "moved"
    assert ("counter-clockwise" in found.advice) == (angle > 0)


@pytest.mark.parametrize("sigma", [1, 2, 4])
def test_blur(sigma):
    assert reason(cv2.GaussianBlur(picture(1), (0, 0), sigma)) == "blurred"


@pytest.mark.parametrize("share", [0.8, 0.6, 0.4])
def test_less_light_is_dimmed_and_more_too_bright(share):
    assert reason((picture(1) * share).astype(np.uint8)) == "dimmed"
    assert reason((picture(1) / share).clip(0, 255).astype(np.uint8)) == "too_bright"


@pytest.mark.parametrize("share", [0.8, 0.6, 0.4])
def test_exposure_and_contrast_are_neither_blur_nor_movement(share):
    darker = (picture(1) * share).astype(np.uint8)
    paler = (60 + picture(1) * share).astype(np.uint8)
    for image in (darker, paler):
        assert reason(image, least_highlights=0.0, most_light=300.0) is None


def test_a_defect_is_left_to_the_detector():
    for colour, size in ((10, 25), (250, 12), (10, 40)):
        image = picture(1)
        cv2.circle(image, (170, 110), size, (colour,) * 3, -1)
        assert reason(image) is None, (colour, size)
    image = picture(1)
    cv2.line(image, (20, 30), (300, 200), (5, 5, 5), 4)
    assert reason(image) is None


def test_another_scene_is_left_to_the_detector():
    other = np.random.default_rng(9).normal(90, 40, (HEIGHT, WIDTH, 1)).clip(0, 255).astype(np.uint8)
    assert reason(np.repeat(other, 3, axis=2), least_highlights=0.0, most_light=300.0) is None


def test_a_sheet_that_looks_the_same_along_the_belt_has_not_moved_along_it():
    bars = np.repeat(np.random.default_rng(3).integers(40, 200, (24, 1), dtype=np.uint8), 10, axis=0)
    sheet = np.repeat(np.repeat(bars, WIDTH, axis=1)[..., None], 3, axis=2)
    view = grey_view(sheet, Framing())
    alignment = Alignment(view.resized(reference_shape(view, 96)))
    assert alignment.of(grey_view(np.roll(sheet, 60, axis=1), Framing())).size < 0.01
    assert alignment.of(grey_view(np.roll(sheet, 20, axis=0), Framing())).size > 0.03


def test_only_the_region_of_interest_and_what_is_not_masked_count():
    outside, inside = picture(1), picture(1)
    outside[:, :150] = 255
    framing = Framing(roi=Roi(x1=0.5, y1=0, x2=1, y2=1))
    assert check_of(framing).fault(outside) is None
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[40:140, 100:200] = True
    inside[40:140, 100:200] = 255
    assert check_of(Framing(mask=mask)).fault(inside) is None
    assert check_of().fault(inside) is not None


def test_a_line_without_a_common_place_checks_the_rest():
    changes = {"moved": None, "not_moved_because": "parts lie anywhere"}
    assert reason(np.roll(picture(1), 60, axis=1), **changes) is None
    assert reason(cv2.GaussianBlur(picture(1), (0, 0), 2), **changes) == "blurred"


@pytest.mark.parametrize("shape", [(9, 9), (16, 12), (1, 40), (3, 3)])
def test_the_smallest_pictures_do_not_break_it(shape):
    image = np.random.default_rng(1).integers(0, 255, (*shape, 3), dtype=np.uint8)
    assert reason(image) in {None, "moved", "dimmed", "too_bright", "blurred"}
