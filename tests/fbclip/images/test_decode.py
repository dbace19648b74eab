"""Every file that is no whole image is refused with its own reason, silently and without its name."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from fbclip.errors import ImageError
from fbclip.images.decode import decode, read_image

RGB = np.random.default_rng(7).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def encoded(suffix: str, image: np.ndarray = RGB) -> bytes:
    swapped = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 and image.shape[2] == 3 else image
    normal, data = cv2.imencode(suffix, swapped)
    assert normal
    return data.tobytes()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def reason(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data)
    return caught.value.reason


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_lossless_formats_give_the_same_pixels(suffix):
    assert np.array_equal(decode(encoded(suffix)), RGB)


def test_jpeg_is_rgb():
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = 250
    decoded = decode(encoded(".jpg", image))
    assert decoded[..., 0].min() > 240 and decoded[..., 2].max() < 10


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_scaled_by_their_full_range(suffix):
    grey = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    image = decode(encoded(suffix, grey))
    assert image.shape == (64, 64, 3)
    assert np.array_equal(image[..., 1], np.round(grey / 257).astype(np.uint8))
    dark = decode(encoded(suffix, grey // 16))
    assert dark.max() == 16


def test_sixteen_bit_colour_keeps_its_channels():
    deep = np.zeros((16, 16, 3), np.uint16)
    deep[..., 0] = 65535
    assert decode(encoded(".png", deep)).tolist()[0][0] == [255, 0, 0]


def test_grey_and_alpha_become_rgb(tmp_path):
    assert np.array_equal(decode(encoded(".png", RGB[..., 0])), np.repeat(RGB[..., :1], 3, axis=2))
    Image.fromarray(np.dstack([RGB, np.full((40, 60), 9, np.uint8)])).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png").image, RGB)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_file_is_truncated_and_nothing_is_printed(suffix, share, capfd):
    data = encoded(suffix)
    assert reason(data[: int(len(data) * share)]) == "truncated"
    assert capfd.readouterr() == ("", "")


def test_the_end_marker_of_a_thumbnail_does_not_count():
    thumbnail = b"\xff\xe1" + struct.pack(">H", 6) + b"\xff\xd9\xff\xd9"
    data = encoded(".jpg")
    whole = data[:2] + thumbnail + data[2:]
    assert decode(whole).shape == RGB.shape
    assert reason(whole[: len(whole) // 2]) == "truncated"


def test_progressive_jpeg_and_bytes_after_the_end(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "p.jpg", progressive=True)
    assert decode((tmp_path / "p.jpg").read_bytes() + b"\0" * 100).shape == RGB.shape


def test_damaged_png_is_corrupt(capfd):
    data = bytearray(encoded(".png"))
    data[len(data) // 2] ^= 0xFF
    assert reason(bytes(data)) == "corrupt"
    head = struct.pack(">IIBBBBB", 20, 20, 8, 2, 0, 0, 0)
    lying = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", b"rubbish") + png_chunk(b"IEND", b"")
    assert reason(lying) in {"corrupt", "truncated"}
    assert capfd.readouterr() == ("", "")


def test_a_huge_header_is_refused_before_decoding():
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    assert reason(bomb) == "too_large"


def test_too_many_bytes(monkeypatch):
    monkeypatch.setattr("fbclip.images.decode.MAX_BYTES", 100)
    assert reason(encoded(".png")) == "too_large"


def test_other_words(tmp_path):
    assert reason(b"") == "empty"
    assert reason(b"<html>no image</html>") == "not_an_image"
    assert reason(encoded(".png", RGB[:4])) == "too_small"
    assert reason(b"\0" * 128 + b"DICM" + b"\0" * 50) == "no_uid"
    pages = [Image.fromarray(RGB), Image.fromarray(RGB)]
    pages[0].save(tmp_path / "two.tiff", save_all=True, append_images=pages[1:])
    assert reason((tmp_path / "two.tiff").read_bytes()) == "multi_page"
    pages[0].save(tmp_path / "moving.png", save_all=True, append_images=[Image.fromarray(255 - RGB)])
    assert reason((tmp_path / "moving.png").read_bytes()) == "multi_page"
    normal, data = cv2.imencode(".tiff", np.ones((16, 16), np.float32))
    assert normal and reason(data.tobytes()) == "no_window"


@pytest.mark.parametrize("name", ["miller^anna.dcm", "brain.nii", "brain.nii.gz"])
def test_no_error_says_the_name_of_a_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / name)
    assert caught.value.reason == "not_an_image"
    assert "miller" not in str(caught.value) and "brain" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
def test_random_damage_never_raises_anything_else(suffix, capfd):
    data = encoded(suffix)
    chance = np.random.default_rng(1)
    for _ in range(150):
        broken = bytearray(data)
        for position in chance.integers(0, len(data), 3):
            broken[position] = chance.integers(0, 256)
        try:
            decode(bytes(broken))
        except ImageError as error:
            assert error.reason
    assert capfd.readouterr() == ("", "")
