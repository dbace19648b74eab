"""A block of zeros inside a JPEG is damage that no reader of JPEG reports; a plain area is not."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from fbclip.errors import ImageError
from fbclip.images.decode import decode
from fbclip.images.jpeg_hole import has_hole


def textured(seed, channels=3):
    chance = np.random.default_rng(seed)
    image = cv2.resize(chance.integers(40, 220, (12, 16, channels), dtype=np.uint8), (640, 480))
    return image.reshape(480, 640, channels)


def encoded(image, **options):
    stream = io.BytesIO()
    Image.fromarray(image.squeeze()).save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [64, 512])
def test_a_hole_is_damage_wherever_it_is(channels, size):
    for seed in range(20):
        data = encoded(textured(seed, channels), quality=90)
        start = 1000 + int((len(data) - 2000) * seed / 20)
        with pytest.raises(ImageError, match="corrupt"):
            decode(data[:start] + bytes(size) + data[start + size :])
        decode(data)


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "options", [{}, {"optimize": True}, {"progressive": True}, {"optimize": True, "quality": 10}, {"subsampling": 0}]
)
def test_a_plain_area_is_none(level, channels, options):
    image = np.full((1024, 1024, channels), level, np.uint8)
    assert decode(encoded(image, **options)).shape == (1024, 1024, 3)
    image[500:510, 500:510] = 90
    assert decode(encoded(image, **options)).shape == (1024, 1024, 3)


def test_zeros_beside_the_image_data_are_none():
    data = encoded(textured(1))
    note = b"\xff\xe0" + (2 + 500).to_bytes(2, "big") + bytes(500)
    assert not has_hole(data[:2] + note + data[2:])
    assert not has_hole(data + bytes(500))


def test_a_jpeg_without_tables_is_of_the_standards():
    data = encoded(textured(3), quality=90)
    while (start := data.find(b"\xff\xc4")) >= 0:
        data = data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]
    decode(data)
    middle = len(data) // 2
    assert has_hole(data[:middle] + bytes(100) + data[middle + 100 :])


@pytest.mark.parametrize(
    "data", [b"", bytes(100), b"\xff\xd8" + bytes(100), b"\xff\xd8\xff\xc4" + bytes(60), b"\xff\xd8\xff\xda\x00"]
)
def test_what_is_no_jpeg_has_none(data):
    assert not has_hole(data)
