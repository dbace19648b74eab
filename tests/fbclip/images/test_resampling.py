"""Pillow's bicubic resize in whole numbers gives Pillow's own pixels, at every size and shape."""

import numpy as np
import pytest
import torch
from PIL import Image

from fbclip.images.preprocess import preprocess, preprocess_pixels
from fbclip.images.resampling import bicubic_taps, resize_pixels

RNG = np.random.default_rng(11)


def noise(height: int, width: int, hard: bool = False) -> np.ndarray:
    pixels = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    # Black beside white: overshoots are clamped, and the weights' sums are largest.
    return np.where(pixels > 127, 255, 0).astype(np.uint8) if hard else pixels


def pillow(image: np.ndarray, size: int) -> np.ndarray:
    across = Image.fromarray(image).resize((size, image.shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(across.resize((size, size), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (1, 1, 14), (1, 700, 32), (700, 1, 32), (13, 17, 256), (32, 32, 32), (33, 31, 32), (240, 320, 518),
        (517, 519, 518), (600, 90, 112), (91, 60, 112), (479, 641, 256), (900, 1201, 37), (64, 2049, 70),
    ],
)  # fmt: skip
def test_named_sizes_equal_pillow_to_the_bit(height, width, size):
    for hard in (False, True):
        image = noise(height, width, hard)
        assert np.array_equal(resize_pixels(torch.from_numpy(image), size).numpy(), pillow(image, size))


def test_any_sizes_equal_pillow_to_the_bit():
    for turn in range(60):
        height, width, size = (int(n) for n in (*RNG.integers(1, 400, 2), RNG.integers(8, 200)))
        image = noise(height, width, bool(turn % 2))
        assert np.array_equal(resize_pixels(torch.from_numpy(image), size).numpy(), pillow(image, size)), (
            height, width, size,
        )  # fmt: skip


def test_large_pictures_are_resized_in_parts_with_the_same_result(monkeypatch):
    image = noise(300, 400)
    whole = resize_pixels(torch.from_numpy(image), 64)
    monkeypatch.setattr("fbclip.images.resampling._MOST_NUMBERS", 1)
    assert torch.equal(resize_pixels(torch.from_numpy(image), 64), whole)


def test_weights_add_up_and_reach_no_pixel_outside():
    for length, size in ((1, 5), (7, 3), (1920, 518), (100, 518), (518, 518)):
        taps = bicubic_taps(length, size)
        assert (taps.weights.sum(dim=1) - (1 << 22)).abs().max() <= taps.weights.shape[1]
        assert taps.places.min() >= 0 and taps.places.max() < length


@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 480), (20, 31), (200, 200)])
def test_normalised_pixels_equal_those_of_the_cpu_to_the_bit(height, width):
    image = noise(height, width)
    assert torch.equal(preprocess_pixels(torch.from_numpy(image), 112), preprocess(image, 112))


def test_the_horizontal_pass_is_first_whatever_pillow_thinks_is_faster():
    """Of a tall picture Pillow 13 would resize down first, which gives other pixels than earlier versions."""
    image = noise(300, 40, hard=True)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.48145466, 0.4578275, 0.40821073),
                                                         (0.26862954, 0.26130258, 0.27577711)))  # fmt: skip
    levels = ((preprocess(image, 64) * std + mean) * 255).round().permute(1, 2, 0).numpy()
    assert np.array_equal(levels, pillow(image, 64))
