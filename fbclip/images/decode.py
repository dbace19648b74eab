"""Any image file -> 8-bit RGB, or an ImageError that says in one stable word why not.

The pixels are taken as they are stored: an EXIF orientation is ignored, here and so everywhere, because an
ignore mask and a region of interest are drawn on stored pixels. Alpha is dropped; grey becomes three equal
channels; 16 bits are scaled by their full range, never by the image's own minimum and maximum.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fbclip.errors import ImageError
from fbclip.images.headers import Header, read_header

MAX_BYTES = 256 << 20
MAX_PIXELS = 80_000_000
MIN_SIDE = 8
_UNDECODABLE = "the image data cannot be decoded"
SCAN_SUFFIXES = (".dcm", ".dicom", ".nii", ".nii.gz")

# libtiff reports through OpenCV's log, which would go to stderr; here an ImageError says it.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


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
    """Bytes of a whole PNG, JPEG, TIFF or BMP -> (H,W,3) uint8 RGB, C-contiguous.

    Raises ImageError: empty, not_an_image, truncated, too_large, too_small, corrupt, multi_page, unsupported_scan.
    """
    if len(data) > MAX_BYTES:
        raise ImageError("too_large", f"more than {MAX_BYTES} bytes")
    header = read_header(data)
    if header.width * header.height > MAX_PIXELS:
        raise ImageError("too_large", f"{header.width}x{header.height} is more than {MAX_PIXELS} pixels")
    if min(header.width, header.height) < MIN_SIDE:
        raise ImageError("too_small", f"{header.width}x{header.height}, need at least {MIN_SIDE} pixels a side")
    # Pillow is silent and knows a cut stream; OpenCV keeps 16 bits and reads more kinds of TIFF.
    image = _by_opencv(data) if header.format == "TIFF" or header.depth == 16 else _by_pillow(data, header)
    if image.shape[:2] != (header.height, header.width):
        raise ImageError("corrupt", "the image is not of the size its header says")
    return image


def _by_pillow(data: bytes, header: Header) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[header.format]) as image:
                return np.array(image.convert("RGB"), dtype=np.uint8)
    except Exception as error:
        # Pillow raises many types for broken data; its text names a stream that ends early.
        reason = "truncated" if "truncated" in str(error) else "corrupt"
        raise ImageError(reason, _UNDECODABLE) from error


def _by_opencv(data: bytes) -> NDArray[np.uint8]:
    try:
        raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError("corrupt", _UNDECODABLE) from error
    if raw is None:
        raise ImageError("corrupt", _UNDECODABLE)
    if raw.dtype == np.uint16:
        # 65535 = 257 · 255: the full range maps to the full range.
        image = ((raw.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif raw.dtype == np.uint8:
        image = np.asarray(raw, dtype=np.uint8)
    else:
        raise ImageError("corrupt", f"pixels of type {raw.dtype} have no fixed range")
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    elif channels in {3, 4}:
        image = image[:, :, 2::-1]
    else:
        raise ImageError("corrupt", f"{channels} channels are neither grey nor colour")
    return np.ascontiguousarray(image)
