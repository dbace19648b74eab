"""Masks are read by one rule: what is not black is defect."""

import numpy as np
import pytest
from PIL import Image

from calibrate.datasets.masks import map_mask, read_mask, resize_mask
from calibrate.errors import DataError
from fbclip.images.geometry import Placement


def test_whatever_is_not_black_is_defect(tmp_path):
    pixels = np.zeros((20, 24, 3), np.uint8)
    pixels[2, 3] = (0, 0, 1)
    pixels[5, 6] = 255
    Image.fromarray(pixels).save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png")
    assert mask.dtype == np.bool_
    assert np.argwhere(mask).tolist() == [[2, 3], [5, 6]]


@pytest.mark.parametrize("content", [None, b"no image"])
def test_a_mask_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "m.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"m\.png: cannot be read as a mask") as caught:
        read_mask(path)
    assert caught.value.__cause__ is not None


def test_a_mask_is_cropped_like_its_image(tmp_path):
    half = np.zeros((20, 24), np.uint8)
    half[:, 12:] = 255
    Image.fromarray(half).save(tmp_path / "m.png")
    right = Placement(12, 0, 12, 20)
    assert map_mask(tmp_path / "m.png", right, (4, 4)).all()
    assert not resize_mask(half > 0, Placement(0, 0, 12, 20), (4, 4)).any()
