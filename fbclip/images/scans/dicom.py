"""A DICOM file -> its frames as 8-bit grey or RGB.

Monochrome goes through the modality's rescaling and a window, and is inverted at most once. Colour is shown as stored.
Nothing of the header gets out but numbers, fixed words and digests.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
)

from fbclip.errors import ImageError
from fbclip.images.header import check_scan_limits
from fbclip.images.jpeg_header import read_jpeg
from fbclip.images.picture import Picture, ScanFacts, SliceFacts, WindowOrigin
from fbclip.images.scans.dicom_window import Limits, StoredFrame, common_limits, needs_percentiles, shown
from fbclip.images.scans.emptiness import keep_full
from fbclip.images.scans.kinds import require_image
from fbclip.images.scans.quiet import quiet
from fbclip.images.scans.tags import digest, number, plane_and_position, text, whole
from fbclip.images.window import Window

_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_ITEM = b"\xfe\xff\x00\xe0"
_END = b"\xff\xd9"
# What may follow the end mark, so that a frame has an even length.
_FILLING = b"\0\xff"
_MARKED = frozenset({*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes})


def dicom_size(data: bytes) -> tuple[int, int, int]:
    """(width, height, frames) from the header alone; raises as `read_dicom`."""
    with quiet("DICOM"):
        header = dcmread(io.BytesIO(data), stop_before_pixels=True)
        frames = check_header(header)
        return whole(header, "Columns"), whole(header, "Rows"), frames


def read_dicom(data: bytes, window: Window) -> Picture:
    """Every frame that is not empty, in the order of the file.

    Raises SkippedScan for what holds no image; ImageError: no_uid, no_transfer_syntax, unsupported_dicom, truncated,
    corrupt, too_large, too_small, no_window, flat.
    """
    with quiet("DICOM") as caught:
        header = dcmread(io.BytesIO(data), stop_before_pixels=True)
        frames = check_header(header)
        dataset = dcmread(io.BytesIO(data))
        refuse_cut(dataset, caught, frames)
        stored = [np.asarray(pixel_array(dataset, index=i)) for i in range(frames)]
        if is_grey(dataset):
            pixels, slices = _grey([StoredFrame(dataset, i, frame) for i, frame in enumerate(stored)], window)
        else:
            pixels = np.stack([colour_frame(dataset, frame) for frame in stored])
            slices = [SliceFacts(order=i - 1, number=i, origin="colour") for i in range(1, frames + 1)]
        places = [plane_and_position(dataset, i) for i in range(frames)]
        slices = [one.model_copy(update={"position": at}) for one, (_, at) in zip(slices, places, strict=True)]
        pixels, slices = keep_full(pixels, slices)
        facts = ScanFacts(
            format="dicom",
            total=frames,
            slices=tuple(slices),
            plane=places[0][0],
            series=digest(dataset.get("SeriesInstanceUID")),
            instance=digest(dataset.get("SOPInstanceUID")),
        )
    return Picture(pixels, facts)


def is_grey(dataset: Dataset) -> bool:
    """Whether it is shown through a window, as colours are not."""
    return text(dataset, "PhotometricInterpretation") in _GREY


def check_header(header: Dataset) -> int:
    """The number of frames of an image that may be decoded; raises as `read_dicom`."""
    meta = header.file_meta
    require_image(header, str(meta.get("MediaStorageSOPClassUID") or ""))
    if not meta.get("TransferSyntaxUID"):
        raise ImageError("no_transfer_syntax", "the DICOM file does not say how its pixels are written")
    if "Rows" not in header:
        raise ImageError("truncated", "the DICOM file ends before its image")
    frames = whole(header, "NumberOfFrames", default=1)
    samples, bits = whole(header, "SamplesPerPixel", default=1), whole(header, "BitsAllocated")
    check_scan_limits(whole(header, "Columns"), whole(header, "Rows"), frames, samples * -(-bits // 8))
    colours = text(header, "PhotometricInterpretation")
    if colours not in _GREY | _COLOUR | {"PALETTE COLOR"} or samples not in {1, 3}:
        raise ImageError("unsupported_dicom", "colours that cannot be shown as grey or RGB")
    if (colours in _COLOUR) != (samples == 3):
        raise ImageError("corrupt", f"{samples} samples a pixel do not go with the colours of the DICOM file")
    return frames


def refuse_cut(dataset: Dataset, caught: Sequence[warnings.WarningMessage], frames: int) -> None:
    """Raises ImageError for what decoders would paint grey or black: pixels not all there, or a damaged JPEG."""
    if not any(name in dataset for name in _PIXELS):
        raise ImageError("truncated", "the DICOM file ends before its pixels")
    if any("End of file reached" in str(one.message) for one in caught):
        raise ImageError("truncated", "the DICOM file ends inside its pixels")
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if not syntax.is_encapsulated:
        _refuse_short(dataset, frames)
        _refuse_misplaced(dataset)
        return
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise ImageError("unsupported_dicom", "a compression that is not read") from error
    if not decoder.is_available:
        raise ImageError("unsupported_dicom", "a compression that no installed codec reads")
    if syntax == JPEGExtended12Bit and whole(dataset, "BitsStored") > 8:
        raise ImageError("unsupported_dicom", "JPEG of 12 bits, which no codec of a free licence reads")
    found = 0
    for frame in generate_frames(dataset.PixelData, number_of_frames=frames):
        found += 1
        whole_frame = frame.rstrip(_FILLING)
        if syntax in _MARKED and not whole_frame.endswith(_END):
            raise ImageError("truncated", "a compressed frame ends early")
        if syntax == JPEGBaseline8Bit:
            _refuse_damaged(whole_frame)
    if found < frames:
        raise ImageError("truncated", "fewer frames than the DICOM file says")


def _refuse_short(dataset: Dataset, frames: int) -> None:
    rows, columns, samples = (whole(dataset, name, 1) for name in ("Rows", "Columns", "SamplesPerPixel"))
    halved = text(dataset, "PhotometricInterpretation") == "YBR_FULL_422"
    bits = rows * columns * frames * (2 if halved else samples) * whole(dataset, "BitsAllocated")
    if sum(len(dataset[name].value) for name in _PIXELS if name in dataset) * 8 < bits:
        raise ImageError("truncated", "fewer pixels than the DICOM file says")


def _refuse_misplaced(dataset: Dataset) -> None:
    """Pixels that would be read from where they are not."""
    if "PixelData" in dataset and (dataset["PixelData"].is_undefined_length or _holds_frames(dataset.PixelData)):
        raise ImageError("corrupt", "compressed frames in a DICOM file that says it has none")
    high = number(dataset, "HighBit")
    if "PixelData" in dataset and high is not None and high != whole(dataset, "BitsStored") - 1:
        raise ImageError("unsupported_dicom", "pixels whose bits do not begin with the lowest")


def _holds_frames(pixels: bytes) -> bool:
    """Whether they are items, of which the first, the table of offsets, is followed by another."""
    if not pixels.startswith(_ITEM) or len(pixels) < 16:
        return False
    return pixels[8 + int.from_bytes(pixels[4:8], "little") :].startswith(_ITEM)


def _refuse_damaged(frame: bytes) -> None:
    """A JPEG that was cut and closed again decodes with a mere warning."""
    header = read_jpeg(frame)
    try:
        simplejpeg.decode_jpeg(frame, "GRAY" if header.channels == 1 else "RGB")
    except ValueError as error:
        raise ImageError("corrupt", "a compressed frame is damaged") from error


def _grey(frames: Sequence[StoredFrame], window: Window) -> tuple[NDArray[np.uint8], list[SliceFacts]]:
    common = common_limits(frames) if needs_percentiles(frames, window) else None
    pixels = np.empty((len(frames), *frames[0].values.shape), np.uint8)
    slices = []
    for index, frame in enumerate(frames):
        pixels[index], limits, origin = grey_frame(frame, window, common)
        slices.append(SliceFacts(order=index, number=index + 1, window=limits, origin=origin))
    return pixels, slices


def grey_frame(
    frame: StoredFrame, window: Window, common: Limits | None
) -> tuple[NDArray[np.uint8], Limits, WindowOrigin]:
    """A monochrome frame as `shown` shows it, inverted where black stands for much; raises ImageError."""
    levels, limits, origin = shown(frame, window, common)
    inverse = text(frame.dataset, "PresentationLUTShape") == "INVERSE"
    # MONOCHROME1 implies the inverse shape, which may stand there as well: it is turned once.
    inverse |= text(frame.dataset, "PhotometricInterpretation") == "MONOCHROME1"
    return (255 - levels if inverse else levels), limits, origin


def colour_frame(dataset: Dataset, frame: NDArray[np.generic]) -> NDArray[np.uint8]:
    """As 8-bit RGB. pydicom has turned YBR into RGB already, whatever the header still says."""
    if text(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        coloured = np.asarray(apply_color_lut(frame, dataset))[..., :3]
        return np.ascontiguousarray(coloured >> 8 if coloured.dtype == np.uint16 else coloured, np.uint8)
    bits = whole(dataset, "BitsStored")
    return np.ascontiguousarray(frame.astype(np.int64) >> (bits - 8) if bits > 8 else frame, np.uint8)
