"""What a decoder can only guess is no image: cut and closed again, zeroed in the middle, a strip that is gone."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from fbclip.errors import ImageError
from fbclip.images.decode import decode
from fbclip.images.tiff_header import read_tiff

NOISE = np.random.default_rng(5).integers(0, 256, (24, 32, 3), dtype=np.uint8)
PHOTO = cv2.resize(NOISE, (320, 240), interpolation=cv2.INTER_CUBIC)


def saved(kind: str, image: np.ndarray = PHOTO, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


def reason(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data)
    return caught.value.reason


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("grey", [False, True])
def test_a_jpeg_cut_and_closed_with_an_end_marker_is_corrupt(options, grey, capfd):
    data = saved("JPEG", PHOTO[..., 0] if grey else PHOTO, quality=90, **options)
    assert decode(data).shape == PHOTO.shape
    for share in (0.3, 0.5, 0.8):
        # Between two scans of a progressive one the cut is in a table, which then ends early.
        assert reason(data[: int(len(data) * share)] + b"\xff\xd9") in {"corrupt", "truncated"}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_with_a_zeroed_hole_is_corrupt(options):
    data = bytearray(saved("JPEG", quality=95, **options))
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    assert reason(bytes(data)) == "corrupt"


def test_four_channels_are_watched_as_well():
    stream = io.BytesIO()
    Image.fromarray(PHOTO).convert("CMYK").save(stream, "JPEG", quality=90)
    data = stream.getvalue()
    assert decode(data).shape == PHOTO.shape
    assert reason(data[: len(data) // 2] + b"\xff\xd9") == "corrupt"


def test_pixels_are_those_of_pillow():
    for options in ({"quality": 75}, {"quality": 95, "subsampling": 0}, {"progressive": True}):
        data = saved("JPEG", **options)
        assert np.array_equal(decode(data), np.array(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_tiff_whose_strips_are_zeroed_is_corrupt(compression, depth, channels, capfd):
    """Without compression zeros are black pixels: nothing tells them from a black part."""
    image = PHOTO if channels == 3 else PHOTO[..., 0]
    deep = image.astype(np.uint16) * 257 if depth == 16 else image
    number = {"none": 1, "lzw": 5, "deflate": 8}[compression]
    options = [cv2.IMWRITE_TIFF_COMPRESSION, number, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 16]
    data = cv2.imencode(".tiff", deep[..., ::-1] if channels == 3 else deep, options)[1].tobytes()
    assert read_tiff(data).depth == depth
    expected = PHOTO if channels == 3 else np.repeat(PHOTO[..., :1], 3, axis=2)
    assert np.array_equal(decode(data), expected)
    if compression != "none":
        broken = bytearray(data)
        place = len(data) // 2
        broken[place : place + 4000] = bytes(4000)
        assert reason(bytes(broken)) == "corrupt"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("compression", ["packbits", "tiff_deflate", "tiff_lzw"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_pillows_tiffs_of_every_depth(compression, mode, capfd):
    image = Image.fromarray(PHOTO)
    image = image.quantize(9) if mode == "P" else image.convert(mode)
    stream = io.BytesIO()
    image.save(stream, "TIFF", compression=compression)
    data = stream.getvalue()
    assert np.array_equal(decode(data), np.array(image.convert("RGB")))
    offset, size = read_tiff(data).strips[0]
    broken = bytearray(data)
    broken[offset + size // 2 : offset + size // 2 + size // 3] = bytes(size // 3)
    assert reason(bytes(broken)) == "corrupt"
    assert capfd.readouterr() == ("", "")


def test_pack_bits_tiffs_of_opencv_are_read_strip_by_strip():
    options = [cv2.IMWRITE_TIFF_COMPRESSION, 32773, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 7]
    for deep in (PHOTO, PHOTO.astype(np.uint16) * 257):
        data = cv2.imencode(".tiff", deep[..., ::-1], options)[1].tobytes()
        assert len(read_tiff(data).strips) > 1
        assert np.array_equal(decode(data), PHOTO)


def test_fax_codes_are_refused_because_nothing_reports_their_damage():
    stream = io.BytesIO()
    Image.fromarray(PHOTO).convert("1").save(stream, "TIFF", compression="group4")
    assert reason(stream.getvalue()) == "unsupported_tiff"


def test_a_lossy_webp_with_a_zeroed_hole_is_corrupt():
    data = bytearray(saved("WEBP", quality=90))
    data[len(data) // 2 : len(data) // 2 + 512] = bytes(512)
    assert reason(bytes(data)) == "corrupt"


@pytest.mark.parametrize("grey", [False, True])
def test_jpeg_inside_a_tiff_is_watched_as_well(grey, capfd):
    data = saved("TIFF", PHOTO[..., 0] if grey else PHOTO, compression="jpeg", quality=90)
    assert np.abs(decode(data).astype(int) - (PHOTO[..., :1] if grey else PHOTO)).mean() < 4
    offset, size = read_tiff(data).strips[0]
    broken = bytearray(data)
    broken[offset + size // 2 : offset + size - 2] = bytes(size - 2 - size // 2)
    assert reason(bytes(broken)) == "corrupt"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_a_pixel_that_names_a_colour_beyond_its_palette_is_damage(kind):
    marks = np.random.default_rng(3).integers(0, 201, (24, 32)).astype(np.uint8)
    marks[3, 3] = 200
    stream = io.BytesIO()
    image = Image.fromarray(marks, "P")
    image.putpalette(bytes(range(256)) * 3)
    image.save(stream, kind)
    shorten = png_of_colours if kind == "PNG" else bmp_of_colours
    assert decode(shorten(stream.getvalue(), 201)).shape == (24, 32, 3)
    assert reason(shorten(stream.getvalue(), 200)) == "corrupt"


def png_of_colours(data: bytes, colours: int) -> bytes:
    """A PNG with so many colours in its palette."""
    at = data.index(b"PLTE")
    body = b"PLTE" + data[at + 4 : at + 4 + 3 * colours]
    rest = data[at + 4 + struct.unpack_from(">I", data, at - 4)[0] + 4 :]
    return data[: at - 4] + struct.pack(">I", 3 * colours) + body + struct.pack(">I", zlib.crc32(body)) + rest


def bmp_of_colours(data: bytes, colours: int) -> bytes:
    """A BMP of 8 bits with so many colours in its palette."""
    pixels = struct.unpack_from("<I", data, 10)[0]
    start = 14 + 40 + 4 * colours
    out = bytearray(data[:start] + data[pixels:])
    struct.pack_into("<I", out, 10, start)
    struct.pack_into("<I", out, 46, colours)
    return bytes(out)


def test_a_png_whose_pixels_end_early_is_refused(capfd):
    """Checksums are right: only the decoder can tell."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for depth in (8, 16):
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, depth, 0, 0, 0, 0))
        row = b"\0" + bytes(range(64)) * (depth // 8)
        for rows, damaged in ((64, False), (30, True)):
            body = chunk(b"IDAT", zlib.compress(row * rows))
            data = b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")
            if damaged:
                assert reason(data) in {"corrupt", "truncated"}
            else:
                assert decode(data).shape == (64, 64, 3)
    assert capfd.readouterr() == ("", "")
