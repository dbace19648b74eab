"""The files of a series decoded in the decoder's process: one that hangs or ends it costs its own slice, no other's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fbclip.errors import ImageError
from fbclip.images.decode_process import DecodeProcess
from fbclip.images.picture import Picture, SliceFault
from fbclip.images.window import DEFAULT_WINDOW, Window

_DEADLY = frozenset({"decoder_died", "decode_timeout"})

Read = Callable[[], bytes]


def decode_series(
    process: DecodeProcess,
    files: Sequence[Read],
    ranks: Sequence[int],
    cancelled: Callable[[], bool] = lambda: False,
    window: Window = DEFAULT_WINDOW,
) -> Picture:
    """As `read_series`; a file over which the process dies or hangs is one of the picture's faults.

    Each of `files` gives its bytes, up to three times. Raises ImageError, DecodingCancelled, OSError where no process
    can be started, and what the files raise.
    """
    try:
        return process.series(files, ranks, cancelled, window)
    except ImageError as error:
        if error.reason not in _DEADLY:
            raise
    guilty = [fault for index, read in enumerate(files) if (fault := _alone(process, index, read(), cancelled))]
    left = [index for index in range(len(files)) if index not in {fault.file for fault in guilty}]
    if not left:
        raise ImageError(guilty[0].reason, "no slice of the series can be decoded")
    found = process.series([files[index] for index in left], [ranks[index] for index in left], cancelled, window)
    return _renumbered(found, left, guilty)


def _alone(process: DecodeProcess, index: int, data: bytes, cancelled: Callable[[], bool]) -> SliceFault | None:
    """What a file by itself does to the process; whether it holds an image is not asked here."""
    try:
        process.decode(data, cancelled, "full")
    except ImageError as error:
        return SliceFault(file=index, reason=error.reason) if error.reason in _DEADLY else None
    return None


def _renumbered(picture: Picture, chosen: Sequence[int], guilty: Sequence[SliceFault]) -> Picture:
    """The picture of some of the files of a series, as of all: `chosen` are their places, `guilty` the others."""
    scan = picture.scan
    assert scan is not None and scan.files is not None
    slices = [one.model_copy(update={"file": None if one.file is None else chosen[one.file]}) for one in scan.slices]
    faults = [
        fault.model_copy(
            update={"file": chosen[fault.file], "instead": None if fault.instead is None else chosen[fault.instead]}
        )
        for fault in scan.files.faults
    ]
    files = scan.files.model_copy(update={"faults": tuple(sorted((*faults, *guilty), key=lambda one: one.file))})
    return Picture(picture.pixels, scan.model_copy(update={"slices": tuple(slices), "files": files}))
