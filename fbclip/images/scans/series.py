"""The files of one DICOM series -> one volume, its slices in order, through one window, as those of one file are."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.utils import pixel_array

from fbclip.errors import ImageError
from fbclip.images.picture import Picture, ScanFacts, SeriesFacts, SliceFacts, SliceFault
from fbclip.images.scans.dicom import check_header, colour_frame, grey_frame, is_grey, refuse_cut
from fbclip.images.scans.dicom_window import StoredFrame, common_limits, needs_percentiles
from fbclip.images.scans.emptiness import keep_full
from fbclip.images.scans.quiet import quiet
from fbclip.images.scans.series_header import slice_header
from fbclip.images.scans.series_order import SeriesPlan, SliceHeader, arrange
from fbclip.images.scans.tags import plane_and_position
from fbclip.images.window import Window

Read = Callable[[], bytes]


@dataclass(frozen=True, eq=False)
class _Slice:
    """A file that is read: its frame, and the place of the file in the order."""

    order: int
    frame: StoredFrame


def read_series(files: Sequence[Read], window: Window, ranks: Sequence[int] | None = None) -> Picture:
    """Every slice that is not empty. `files` give their bytes, twice; `ranks`: their order where nothing else says it.

    A file that cannot be read, or is there twice, is one of the picture's `scan.files.faults`, and costs no other its
    place. Raises ImageError where they are no volume (see `arrange`), `flat`, `no_window`, and the first file's fault
    where none can be read; whatever the files' readers raise.
    """
    headers: dict[int, SliceHeader] = {}
    faults: list[SliceFault] = []
    for index, read in enumerate(files):
        found = _header(read())
        if isinstance(found, str):
            faults.append(SliceFault(file=index, reason=found))
        else:
            headers[index] = found
    if not headers:
        raise ImageError(faults[0].reason if faults else "empty", "no slice of the series can be read")
    order = arrange(headers, range(len(files)) if ranks is None else ranks)
    slices: list[_Slice] = []
    for place, index in enumerate(order.files):
        try:
            slices.append(_Slice(place, _stored(files[index]())))
        except ImageError as error:
            faults.append(SliceFault(file=index, reason=error.reason))
    if not slices:
        raise ImageError(faults[0].reason, "no slice of the series can be decoded")
    with quiet("DICOM"):
        return _picture(slices, headers, order, faults, window)


def _header(data: bytes) -> SliceHeader | str:
    """The header of a slice, or why it is none."""
    try:
        found = slice_header(data)
    except ImageError as error:
        return error.reason
    return "no_slice" if found is None else found.fault or found


def _stored(data: bytes) -> StoredFrame:
    """Decoded; the compressed pixels are let go, or a series would take its memory twice."""
    with quiet("DICOM") as caught:
        dataset = dcmread(io.BytesIO(data))
        refuse_cut(dataset, caught, check_header(dataset))
        values = np.asarray(pixel_array(dataset, index=0))
        return StoredFrame(_without_pixels(dataset), 0, values)


def _without_pixels(dataset: Dataset) -> Dataset:
    if "PixelData" in dataset:
        # Its presence says that the values are whole numbers.
        dataset.PixelData = b""
    for name in ("FloatPixelData", "DoubleFloatPixelData"):
        if name in dataset:
            del dataset[name]
    return dataset


def _picture(
    slices: Sequence[_Slice],
    headers: dict[int, SliceHeader],
    order: SeriesPlan,
    faults: Sequence[SliceFault],
    window: Window,
) -> Picture:
    frames = [one.frame for one in slices]
    grey = is_grey(frames[0].dataset)
    common = common_limits(frames) if grey and needs_percentiles(frames, window) else None
    pixels: NDArray[np.uint8] | None = None
    facts = []
    for index, (place, frame) in enumerate((one.order, one.frame) for one in slices):
        file = order.files[place]
        known: dict[str, object] = {
            "file": file,
            "position": order.positions[place],
            "instance_number": headers[file].number,
        }
        if grey:
            levels, limits, origin = grey_frame(frame, window, common)
            known |= {"window": limits, "origin": origin}
        else:
            levels = colour_frame(frame.dataset, frame.values)
            known |= {"origin": "colour"}
        if pixels is None:
            pixels = np.empty((len(slices), *levels.shape), np.uint8)
        pixels[index] = levels
        facts.append(SliceFacts.model_validate({"order": place, "number": place + 1, **known}))
    assert pixels is not None
    pixels, facts = keep_full(pixels, facts)
    return Picture(
        pixels,
        ScanFacts(
            format="dicom",
            total=len(order.files),
            slices=tuple(facts),
            plane=plane_and_position(frames[0].dataset, 0)[0],
            series=headers[order.files[0]].series,
            files=SeriesFacts(
                ordered_by=order.ordered_by,
                same_position=order.same_position,
                gaps=order.gaps,
                faults=tuple(sorted((*order.faults, *faults), key=lambda fault: fault.file)),
            ),
        ),
    )
