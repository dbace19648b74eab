"""Any image file -> 8-bit RGB, or an ImageError that says in one stable word why not.

One rule for every format: the orientation that a file names (EXIF, or the TIFF tag) is applied, as every viewer does,
so an ignore mask drawn over what a viewer shows lies where it should. Alpha is dropped; grey becomes three equal
channels; 16 bits are scaled by their full range unless a window is declared, never by the image's own minimum and
maximum. What a decoder had to guess is no image: its warnings count as damage. Scans are told by their content, and
their readers are in fbclip/images/scans/.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from fbclip.errors import ImageError
from fbclip.images.header import MAX_BYTES, Header, check_limits
from fbclip.images.headers import read_header
from fbclip.images.jpeg_hole import has_hole
from fbclip.images.picture import Picture
from fbclip.images.scans.signs import is_dicom, is_nifti
from fbclip.images.silence import silence
from fbclip.images.tiff_header import TiffHeader
from fbclip.images.tiff_strips import check_strips
from fbclip.images.window import DEFAULT_WINDOW, Window, percentile_limits, through

_UNDECODABLE = "the image data cannot be decoded"
_CMYK = 4
_PNG_COLOURS, _PALETTE = 25, 3

# libtiff reports through OpenCV's log, which would go to stderr; here an ImageError says it.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
# Sizes are bounded by `check_limits`; Pillow's own bound is lower and would be called damage.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, eq=False)
class ImageFile:
    """picture: what the file holds; sha256: hex digest of the file's bytes; size: bytes of the file."""

    picture: Picture
    sha256: str
    size: int

    @property
    def image(self) -> NDArray[np.uint8]:
        """(H,W,3) uint8 RGB; raises ImageError `several_slices` for a scan that has more than one."""
        return self.picture.only()


def read_image(path: Path, window: Window = DEFAULT_WINDOW) -> ImageFile:
    """A file as an image or scan. Raises ImageError (which never holds the file's name) or OSError."""
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    return ImageFile(decode_picture(data, window), hashlib.sha256(data).hexdigest(), len(data))


def decode_picture(data: bytes, window: Window = DEFAULT_WINDOW) -> Picture:
    """Bytes of any file that is read. Raises SkippedScan, and ImageError as `decode` and the readers of scans."""
    if len(data) > MAX_BYTES:
        raise ImageError("too_large", f"more than {MAX_BYTES} bytes")
    try:
        # The libraries that read scans take seconds to load, so only a scan loads them.
        if is_dicom(data):
            from fbclip.images.scans.dicom import read_dicom

            return read_dicom(data, window)
        if is_nifti(data):
            from fbclip.images.scans.nifti import read_nifti

            return read_nifti(data, window)
        return _still(data, window)
    except MemoryError as error:
        raise ImageError("too_large", "not enough memory to decode it") from error


def image_size(data: bytes) -> tuple[int, int, int]:
    """(width, height) in pixels, upright, and number of slices, by the header of a file; raises as `decode_picture`."""
    if len(data) > MAX_BYTES:
        raise ImageError("too_large", f"more than {MAX_BYTES} bytes")
    if is_dicom(data):
        from fbclip.images.scans.dicom import dicom_size

        return dicom_size(data)
    if is_nifti(data):
        from fbclip.images.scans.nifti import nifti_size

        return nifti_size(data)
    header = read_header(data)
    check_limits(header)
    return *header.upright, 1


def decode(data: bytes, window: Window = DEFAULT_WINDOW) -> NDArray[np.uint8]:
    """Bytes of a whole PNG, JPEG, TIFF, BMP, WebP, GIF or scan of one slice -> (H,W,3) uint8 RGB, upright.

    Raises ImageError: empty, not_an_image, truncated, too_large, too_small, corrupt, multi_page, no_window,
    wrong_depth, several_slices, or unsupported_ with the name of a format.
    """
    return decode_picture(data, window).only()


def _still(data: bytes, window: Window) -> Picture:
    header = read_header(data)
    check_limits(header)
    stored = _decoded(data, header)
    if stored.shape[:2] != (header.height, header.width):
        raise ImageError("corrupt", "the image is not of the size its header says")
    unused = 16 - int(stored.max()).bit_length() if stored.dtype == np.uint16 else 0
    image = _windowed(stored, window)
    if isinstance(header, TiffHeader) and header.white_is_zero and stored.dtype != np.uint8:
        image = np.invert(image)
    return Picture(_upright(_coloured(image), header.orientation)[None], unused_bits=unused)


def _windowed(stored: NDArray[Any], window: Window) -> NDArray[np.uint8]:
    """Pixels (H,W,C) of any depth as 8 bits."""
    if isinstance(window, tuple):
        most = np.iinfo(stored.dtype).max if stored.dtype.kind == "u" else np.inf
        if window[1] > most:
            raise ImageError("wrong_depth", f"the window ends at {window[1]:g}, the file's pixels at {most:g}")
        return through(stored, *window)
    if window == "percentile":
        return through(stored, *percentile_limits([stored], stored.size))
    if stored.dtype.kind == "f":
        raise ImageError("no_window", "floating-point pixels have no full range; calibrate with --window percentile")
    if stored.dtype == np.uint8:
        return stored
    # 65535 = 257 · 255: the full range maps to the full range, and no value lies between two.
    return np.asarray(cv2.convertScaleAbs(stored, alpha=1 / 257), np.uint8).reshape(stored.shape)


def _coloured(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _decoded(data: bytes, header: Header) -> NDArray[Any]:
    """As stored, (H,W,1) or (H,W,3), without alpha.

    Each format goes to the reader that reports damage in it: Pillow paints a PNG black where its rows end early, OpenCV
    a TIFF of 8 bits, both a JPEG grey. OpenCV alone keeps 16 bits.
    """
    if header.format == "JPEG":
        return _by_simplejpeg(data, header)
    if isinstance(header, TiffHeader):
        check_strips(data, header)
        if header.orientation != 1 and header.orientation_at is not None:
            # Both readers of TIFF would turn the image themselves, each in its own way.
            data = _as_stored(data, header.orientation_at)
        if header.dark_map is not None:
            data = _with_bright_map(data, *header.dark_map)
        if header.depth >= 16:
            return _by_opencv(data)
    if header.format == "PNG" and data[_PNG_COLOURS] == _PALETTE:
        # OpenCV paints what its palette does not have.
        _by_pillow(data, header)
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
        with warnings.catch_warnings(), silence():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[header.format]) as image:
                _refuse_unlisted(image)
                return np.array(image.convert("RGB"), dtype=np.uint8)
    except (MemoryError, ImageError):
        raise
    except Exception as error:
        if "conversion from" in str(error):
            raise ImageError(f"unsupported_{header.format.lower()}", "colours that cannot be shown as RGB") from error
        # Pillow raises many types for broken data; its text names a stream that ends early.
        reason = "truncated" if "truncated" in str(error) else "corrupt"
        raise ImageError(reason, _UNDECODABLE) from error


def _refuse_unlisted(image: Image.Image) -> None:
    """A pixel that names a colour beyond its palette is damage, which would be painted black or anything."""
    if image.mode == "P" and image.palette is not None:
        image.load()
        colours = len(image.palette.palette) // len(image.palette.mode)
        if int(np.asarray(image).max()) >= colours:
            raise ImageError("corrupt", f"a pixel names a colour beyond the {colours} of its palette")


def _by_opencv(data: bytes) -> NDArray[Any]:
    try:
        with silence():
            raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        raise ImageError("corrupt", _UNDECODABLE) from error
    if raw is None:
        raise ImageError("corrupt", _UNDECODABLE)
    if raw.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise ImageError("corrupt", f"pixels of type {raw.dtype} have no fixed range")
    channels = 1 if raw.ndim == 2 else raw.shape[2]
    if channels == 1:
        return np.asarray(raw).reshape(*raw.shape[:2], 1)
    if channels not in {3, 4}:
        raise ImageError("corrupt", f"{channels} channels are neither grey nor colour")
    return np.ascontiguousarray(raw[:, :, 2::-1])


def _as_stored(data: bytes, place: int) -> bytes:
    """The TIFF with 1 as its orientation, which is a number of two bytes at `place`."""
    changed = bytearray(data)
    struct.pack_into("<H" if data.startswith(b"II") else ">H", changed, place, 1)
    return bytes(changed)


def _with_bright_map(data: bytes, place: int, count: int) -> bytes:
    """The TIFF with a colour map of 16 bits, which its writer has filled with values of 8 bits: near black."""
    kind = np.dtype("<u2" if data.startswith(b"II") else ">u2")
    changed = np.frombuffer(data, np.uint8).copy()
    levels = changed[place : place + 2 * count].view(kind)
    levels *= 257
    return changed.tobytes()


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """EXIF's eight orientations: from 5 rows and columns change places, then either or both run backwards."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in {3, 4, 7, 8}:
        image = image[::-1]
    if orientation in {2, 3, 6, 7}:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
