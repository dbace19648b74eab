"""Any image file -> 8-bit RGB, or an ImageError that says in one stable word why not.

One rule for every format: the orientation that a file names (EXIF, or the TIFF tag) is applied, as every viewer does,
so an ignore mask drawn over what a viewer shows lies where it should. Alpha is dropped; grey becomes three equal
channels; 16 bits are scaled by their full range, never by the image's own minimum and maximum. What a decoder had to
guess is no image: its warnings count as damage.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from fbclip.errors import ImageError
from fbclip.images.header import MAX_BYTES, Header, check_limits
from fbclip.images.headers import read_header
from fbclip.images.jpeg_hole import has_hole
from fbclip.images.tiff_header import TiffHeader
from fbclip.images.tiff_strips import check_strips

SCAN_SUFFIXES = (".dcm", ".dicom", ".nii", ".nii.gz")
_UNDECODABLE = "the image data cannot be decoded"
_CMYK = 4

# libtiff reports through OpenCV's log, which would go to stderr; here an ImageError says it.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
# Sizes are bounded by `check_limits`; Pillow's own bound is lower and would be called damage.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, eq=False)
class ImageFile:
    """image: (H,W,3) uint8 RGB; sha256: hex digest of the file's bytes; size: bytes of the file."""

    image: NDArray[np.uint8]
    sha256: str
    size: int


def read_image(path: Path) -> ImageFile:
    """A file as an image. Raises ImageError (which never holds the file's name) or OSError."""
    refuse_scan_name(path.name)
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    image = decode(data)
    return ImageFile(image, hashlib.sha256(data).hexdigest(), len(data))


def refuse_scan_name(name: str) -> None:
    """Raises ImageError("unsupported_scan") for names of DICOM and NIfTI files, which may be compressed."""
    if name.lower().endswith(SCAN_SUFFIXES):
        raise ImageError("unsupported_scan", "DICOM and NIfTI are not read by this version")


def decode(data: bytes) -> NDArray[np.uint8]:
    """Bytes of a whole PNG, JPEG, TIFF, BMP, WebP or GIF -> (H,W,3) uint8 RGB, upright, C-contiguous.

    Raises ImageError: empty, not_an_image, truncated, too_large, too_small, corrupt, multi_page, or unsupported_ with
    the name of a format.
    """
    if len(data) > MAX_BYTES:
        raise ImageError("too_large", f"more than {MAX_BYTES} bytes")
    header = read_header(data)
    check_limits(header)
    try:
        image = _decoded(data, header)
    except MemoryError as error:
        raise ImageError("too_large", "not enough memory to decode it") from error
    if image.shape[:2] != (header.height, header.width):
        raise ImageError("corrupt", "the image is not of the size its header says")
    return _upright(image, header.orientation)


def _decoded(data: bytes, header: Header) -> NDArray[np.uint8]:
    """As stored. Each format goes to the reader that reports damage in it: Pillow paints a PNG black where its rows
    end early, OpenCV a TIFF of 8 bits, both a JPEG grey. OpenCV alone keeps 16 bits."""
    if header.format == "JPEG":
        return _by_simplejpeg(data, header)
    if isinstance(header, TiffHeader):
        check_strips(data, header)
        if header.orientation != 1 and header.orientation_at is not None:
            # Both readers of TIFF would turn the image themselves, each in its own way.
            data = _as_stored(data, header.orientation_at)
        if header.depth == 16:
            image = _by_opencv(data)
            return np.invert(image, dtype=np.uint8) if header.white_is_zero else image
    return _by_opencv(data) if header.format == "PNG" else _by_pillow(data, header)


def _by_simplejpeg(data: bytes, header: Header) -> NDArray[np.uint8]:
    """libjpeg-turbo, as in Pillow and OpenCV and with their very pixels, but its warnings are errors."""
    if has_hole(data):
        raise ImageError("corrupt", "zeros in the middle of the image data")
    try:
        if header.channels == _CMYK:
            simplejpeg.decode_jpeg(data, "CMYK")
            return _by_pillow(data, header)
        image: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB")
    except ValueError as error:
        raise ImageError("corrupt", _UNDECODABLE) from error
    return image


def _by_pillow(data: bytes, header: Header) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings(), _silence():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[header.format]) as image:
                return np.array(image.convert("RGB"), dtype=np.uint8)
    except MemoryError:
        raise
    except Exception as error:
        if "conversion from" in str(error):
            raise ImageError(f"unsupported_{header.format.lower()}", "colours that cannot be shown as RGB") from error
        # Pillow raises many types for broken data; its text names a stream that ends early.
        reason = "truncated" if "truncated" in str(error) else "corrupt"
        raise ImageError(reason, _UNDECODABLE) from error


def _by_opencv(data: bytes) -> NDArray[np.uint8]:
    try:
        with _silence():
            raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        raise ImageError("corrupt", _UNDECODABLE) from error
    if raw is None:
        raise ImageError("corrupt", _UNDECODABLE)
    if raw.dtype == np.uint16:
        # 65535 = 257 · 255: the full range maps to the full range, and no value lies between two.
        raw = cv2.convertScaleAbs(raw, alpha=1 / 257)
    elif raw.dtype != np.uint8:
        raise ImageError("corrupt", f"pixels of type {raw.dtype} have no fixed range")
    channels = 1 if raw.ndim == 2 else raw.shape[2]
    codes = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
    if channels not in codes:
        raise ImageError("corrupt", f"{channels} channels are neither grey nor colour")
    return np.asarray(cv2.cvtColor(raw, codes[channels]), np.uint8)


def _as_stored(data: bytes, place: int) -> bytes:
    """The TIFF with 1 as its orientation, which is a number of two bytes at `place`."""
    changed = bytearray(data)
    struct.pack_into("<H" if data.startswith(b"II") else ">H", changed, place, 1)
    return bytes(changed)


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """EXIF's eight orientations: from 5 rows and columns change places, then either or both run backwards."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in {3, 4, 7, 8}:
        image = image[::-1]
    if orientation in {2, 3, 6, 7}:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


@contextmanager
def _silence() -> Iterator[None]:
    """libtiff and libpng print to file descriptor 2 what is then raised."""
    try:
        kept = os.dup(2)
    except OSError:
        # A daemon may have closed it: then nothing can be printed.
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
