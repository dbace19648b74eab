"""One rule of orientation for every format; stills of the web are read; what is not read is named."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from fbclip.errors import ImageError
from fbclip.images.decode import decode
from fbclip.images.headers import read_header

BLOCK = np.full((40, 56, 3), 60, np.uint8)
BLOCK[:8, :16] = (250, 200, 90)
BLOCK[30:, 50:] = (10, 20, 240)


def saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    (image or Image.fromarray(BLOCK)).save(stream, kind, **options)
    return stream.getvalue()


def reason(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data)
    return caught.value.reason


def turned(orientation: int) -> np.ndarray:
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(io.BytesIO(saved("PNG", exif=exif))) as image:
        return np.array(ImageOps.exif_transpose(image))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "TIFF deflate", "TIFF 16 bits"])
def test_the_orientation_is_applied_in_every_format(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = turned(orientation)
    if kind == "TIFF 16 bits":
        data = saved("TIFF", Image.fromarray(BLOCK[..., 0].astype(np.uint16) * 257), tiffinfo={274: orientation})
        expected = np.repeat(expected[..., :1], 3, axis=2)
    elif kind.startswith("TIFF"):
        data = saved("TIFF", tiffinfo={274: orientation}, compression="tiff_deflate" if "deflate" in kind else None)
    elif kind == "WEBP":
        data = saved("WEBP", lossless=True, exif=exif)
    else:
        data = saved(kind, exif=exif, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {}))
    image = decode(data)
    assert image.shape == expected.shape and image.flags.c_contiguous
    assert np.abs(image.astype(int) - expected).max() <= (4 if kind == "JPEG" else 0)
    assert read_header(data).upright == (expected.shape[1], expected.shape[0])


def test_exif_that_is_damaged_turns_nothing():
    for directory in (b"", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 9):
        rubbish = b"Exif\0\0" + directory
        segment = b"\xff\xe1" + struct.pack(">H", len(rubbish) + 2) + rubbish
        data = saved("JPEG")
        assert decode(data[:2] + segment + data[2:]).shape == BLOCK.shape


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 90}])
def test_webp_stills(options):
    image = decode(saved("WEBP", **options))
    assert np.abs(image.astype(int) - BLOCK).mean() < 12 * ("quality" in options) + 1e-9
    assert reason(saved("WEBP", **options)[:-20]) == "truncated"


def test_gif_stills():
    data = saved("GIF", Image.fromarray(BLOCK).quantize(16))
    assert np.array_equal(decode(data), np.array(Image.open(io.BytesIO(data)).convert("RGB")))
    assert all(reason(data[: int(len(data) * share)]) == "truncated" for share in (0.1, 0.5, 0.9))
    assert reason(b"GIF89a" + b"\0" * 50) == "corrupt"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_what_moves_or_has_pages_is_no_still(kind):
    data = saved(kind, save_all=True, append_images=[Image.fromarray(255 - BLOCK)])
    assert reason(data) == "multi_page"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x20ftypheic" + b"\0" * 30, "heic"),
        (b"\0\0\0\x20ftypavif" + b"\0" * 30, "avif"),
        (b"II+\0\x08\0\0\0" + b"\0" * 30, "bigtiff"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 30, "jpeg2000"),
        (b"\xff\x4f\xff\x51" + b"\0" * 30, "jpeg2000"),
        (b"8BPS" + b"\0" * 30, "psd"),
        (b"P5\n40 30\n255\n" + b"\0" * 30, "pnm"),
        (b"#?RADIANCE\n" + b"\0" * 30, "hdr"),
        (b"II\xbc\x01" + b"\0" * 30, "jpegxr"),
        (b"IIRO\x08\0\0\0" + b"\0" * 30, "raw"),
        (b"\0\0\0\x20ftypisom" + b"\0" * 30, "video"),
        (b"SIMPLE  =                    T" + b"\0" * 30, "fits"),
        (b"%PDF-1.7\n" + b"\0" * 30, "pdf"),
    ],
)
def test_formats_that_are_not_read_are_named(data, name):
    assert reason(data) == f"unsupported_{name}"


def tiff(pixels: np.ndarray, bits: int, colours: int, **more: tuple[int, int]) -> bytes:
    """One strip, little endian, without compression; `more`: name -> (tag, short value)."""
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    tags = {256: width, 257: height, 259: 1, 262: colours, 277: channels, 278: height} | dict(more.values())
    entries = [struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items()]
    start = 8 + 2 + 12 * (len(entries) + 3) + 4
    depth = struct.pack(f"<{channels}H", *[bits] * channels)
    where = struct.pack("<HHI", 258, 3, channels)
    where += depth.ljust(4, b"\0") if channels <= 2 else struct.pack("<I", start)
    table = len(depth) if channels > 2 else 0
    entries += [where, struct.pack("<HHII", 273, 4, 1, start + table), struct.pack("<HHII", 279, 4, 1, pixels.nbytes)]
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry))
    body = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    return b"II*\0\x08\0\0\0" + body + depth[:table] + pixels.tobytes()


RAMP = (np.arange(40 * 56).reshape(40, 56) * 29).astype(np.uint16)


def test_a_deep_negative_is_turned_into_a_positive():
    positive = decode(tiff(RAMP, 16, 1))
    assert np.array_equal(decode(tiff(RAMP, 16, 0)), 255 - positive)
    assert np.array_equal(positive[..., 0], np.round(RAMP / 257).astype(np.uint8))


@pytest.mark.parametrize(
    "data",
    [
        tiff(np.dstack([RAMP, RAMP, RAMP]), 16, 2, planes=(284, 2)),
        tiff(RAMP.astype(np.uint32), 32, 1),
        tiff(RAMP, 12, 1),
    ],
)
def test_tiffs_that_would_be_misread_are_named(data):
    assert reason(data) == "unsupported_tiff"


def test_jpeg_2000_inside_a_tiff_is_named():
    assert reason(tiff(RAMP, 16, 1, compression=(259, 33005))) == "unsupported_jpeg2000"
