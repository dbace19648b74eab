"""Image headers, read before anything is decoded: size, depth, orientation, and whether the file is whole.

A decoder believes what the header says and allocates that much; and it paints a cut JPEG as if it were
whole, grey below the cut, which would be judged as a defect. So both are checked here first, in time that grows
with the file's length and no faster.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

from fbclip.errors import ImageError
from fbclip.images.header import Header
from fbclip.images.jpeg_header import JPEG_MAGIC, read_jpeg
from fbclip.images.tiff_header import TIFF_MAGICS, exif_orientation, read_tiff
from fbclip.images.web_headers import GIF_MAGICS, read_gif, read_webp

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_MAX_PNG_CHUNKS = 200_000
_BEGINNINGS = (PNG_MAGIC, JPEG_MAGIC, b"BM", *TIFF_MAGICS, *GIF_MAGICS)
# What people do hand in, and what would else be called no image at all: offset, bytes, name.
_UNSUPPORTED = (
    (4, b"ftypavif", "avif"),
    (4, b"ftypavis", "avif"),
    *((4, b"ftyp" + brand, "heic") for brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2000"),
    (0, b"\xff\x4f\xff\x51", "jpeg2000"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "jpegxl"),
    (0, b"\xff\x0a", "jpegxl"),
    (0, b"II+\0", "bigtiff"),
    (0, b"MM\0+", "bigtiff"),
    (0, b"8BPS", "psd"),
    (0, b"\x76\x2f\x31\x01", "openexr"),
    (0, b"II\xbc\x01", "jpegxr"),
    *((0, bytes((80, kind, end)), "pnm") for kind in b"1234567Ff" for end in b" \t\n\r#"),
    *((0, magic, "hdr") for magic in (b"#?RADIANCE", b"#?RGBE")),
    *((0, magic, "raw") for magic in (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS")),
    (4, b"ftypcrx ", "raw"),
    *((4, b"ftyp" + brand, "video") for brand in (b"isom", b"iso2", b"mp41", b"mp42", b"avc1", b"qt  ", b"M4V ")),
    (0, b"\x1a\x45\xdf\xa3", "video"),
    (0, b"SIMPLE  =", "fits"),
    (0, b"%PDF-", "pdf"),
    (0, b"\0\0\1\0", "icon"),
)


def read_header(data: bytes) -> Header:
    """Header of a whole file.

    Raises ImageError: empty, not_an_image, truncated, corrupt, multi_page, too_large, or unsupported_ with the name
    of the format (unsupported_heic, ...).
    """
    if not data:
        raise ImageError("empty")
    if data.startswith(PNG_MAGIC):
        return _png(data)
    if data.startswith(JPEG_MAGIC):
        return read_jpeg(data)
    if data[:4] in TIFF_MAGICS:
        return read_tiff(data)
    if data.startswith(b"BM") and len(data) >= 6:
        return _bmp(data)
    if data.startswith(GIF_MAGICS):
        return read_gif(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return read_webp(data)
    for offset, magic, name in _UNSUPPORTED:
        if data[offset : offset + len(magic)] == magic:
            raise ImageError(f"unsupported_{name}", "a format that is not read by this version")
    if any(magic.startswith(data) for magic in _BEGINNINGS):
        raise ImageError("truncated", "only the first bytes are there")
    raise ImageError("not_an_image", "neither PNG, JPEG, TIFF, BMP, WebP, GIF, DICOM nor NIfTI")


def _png(data: bytes) -> Header:
    header: Header | None = None
    position = len(PNG_MAGIC)
    for _ in range(_MAX_PNG_CHUNKS):
        if position + 12 > len(data):
            raise ImageError("truncated", "the PNG ends before its end chunk")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ImageError("truncated", "the PNG ends inside a chunk")
        body = memoryview(data)[position + 8 : end - 4]
        if zlib.crc32(body, zlib.crc32(kind)) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ImageError("corrupt", "a PNG chunk has the wrong checksum")
        if header is None:
            if kind != b"IHDR" or length != 13:
                raise ImageError("corrupt", "the PNG does not begin with its header")
            width, height, depth, colours = struct.unpack_from(">IIBB", body)
            if depth not in {1, 2, 4, 8, 16} or colours not in _PNG_CHANNELS:
                raise ImageError("corrupt", "the PNG's header names no kind of pixels")
            header = Header("PNG", width, height, depth, _PNG_CHANNELS[colours])
        elif kind == b"acTL":
            raise ImageError("multi_page", "an animated PNG")
        elif kind == b"eXIf":
            header = replace(header, orientation=exif_orientation(bytes(body)))
        elif kind == b"IEND":
            return header
        position = end
    raise ImageError("too_large", f"a PNG of more than {_MAX_PNG_CHUNKS} chunks")


def _bmp(data: bytes) -> Header:
    if len(data) < 30:
        raise ImageError("truncated", "the BMP ends inside its header")
    offset, info = struct.unpack_from("<II", data, 10)
    if info < 40:
        raise ImageError("not_an_image", "not a BMP of this century")
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18) if len(data) >= 34 else (0,) * 5
    # Height is negative where the rows run from top to bottom.
    height = abs(height)
    if width <= 0 or height == 0:
        raise ImageError("corrupt", "the BMP has no size")
    if compression in {0, 3} and offset + (width * bits + 31) // 32 * 4 * height > len(data):
        raise ImageError("truncated", "the BMP holds fewer rows than it says")
    return Header("BMP", width, height, 8)
