"""The directory at the head of a TIFF file; EXIF data is a directory of the same kind."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from fbclip.errors import ImageError
from fbclip.images.header import Header

TIFF_MAGICS = {b"II*\0": "<", b"MM\0*": ">"}
ORIENTATION = 274
_JPEG_TABLES = 347
_SIZES = {1: 1, 3: 2, 4: 4, 7: 1}
_CODES = {1: "B", 3: "H", 4: "I", 7: "B"}
_WANTED = frozenset(
    {254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 320, 322, 323, 324, 325, 339, ORIENTATION, _JPEG_TABLES}
)
_MAX_ENTRIES = 4096
_MAX_VALUES = 1 << 18
_EXIF_NAME = b"Exif\0\0"
JPEG_2000 = frozenset({33003, 33004, 33005, 34712})
# none, LZW, JPEG, deflate, PackBits, and as a later addition LZMA and Zstandard. Of fax codes libtiff reads whatever is
# there and reports nothing.
_COMPRESSIONS = frozenset({1, 5, 7, 8, 32773, 32946, 34925, 50000})
_FLOAT = 3
_YCBCR = 6
_REDUCED = 1
_EIGHT_BIT_ONLY = frozenset({7, 34925, 50000})


@dataclass(frozen=True)
class TiffHeader(Header):
    """`white_is_zero`: a photographic negative; `orientation_at`: where in the file the orientation's value lies;
    `strips` (or tiles) and `tables`, which JPEG strips share: offset and size; `rows`: of a strip, or of a tile
    `columns` wide; `planar`: each strip holds one channel; `halved`: colours may have fewer samples than pixels;
    `dark_map`: where the values of a colour map lie, and how many, if it was written in 8 bits instead of 16.
    """

    white_is_zero: bool = False
    orientation_at: int | None = None
    compression: int = 1
    strips: tuple[tuple[int, int], ...] = ()
    tables: tuple[int, int] = (0, 0)
    rows: int = 0
    columns: int = 0
    planar: bool = False
    halved: bool = False
    dark_map: tuple[int, int] | None = None

    @property
    def parts(self) -> int:
        """How many strips or tiles the image has."""
        across = -(-self.width // self.columns) if self.columns else 1
        return across * -(-self.height // self.rows) * (self.channels if self.planar else 1)

    def unpacked(self, index: int) -> int:
        """Bytes of the pixels in a strip or tile."""
        samples = 1 if self.planar else self.channels
        if self.columns:
            return -(-self.columns * samples * self.depth // 8) * self.rows
        strips = -(-self.height // self.rows)
        last = self.height - (strips - 1) * self.rows
        rows = last if index % strips == strips - 1 else self.rows
        return -(-self.width * samples * self.depth // 8) * rows


@dataclass(frozen=True)
class _Directory:
    tags: Mapping[int, tuple[int, ...]]
    places: Mapping[int, int]
    following: int

    def one(self, tag: int, default: int) -> int:
        values = self.tags.get(tag, ())
        return values[0] if values else default


def read_tiff(data: bytes) -> TiffHeader:
    """Raises ImageError: truncated, corrupt, multi_page, too_large, unsupported_jpeg2000, unsupported_tiff."""
    order = TIFF_MAGICS[data[:4]]
    try:
        directory = _directory(data, order, following=True)
    except struct.error as error:
        raise ImageError("truncated", "the TIFF ends inside its directory") from error
    if directory.following:
        raise ImageError("multi_page", "a TIFF of more than one page")
    tags, one = directory.tags, directory.one
    offsets, sizes = tags.get(273, tags.get(324)), tags.get(279, tags.get(325))
    width, height = one(256, 0), one(257, 0)
    if not offsets or not sizes or len(offsets) != len(sizes) or not width or not height:
        raise ImageError("corrupt", "the TIFF does not say where its image is")
    if max(o + s for o, s in zip(offsets, sizes, strict=True)) > len(data):
        raise ImageError("truncated", "the TIFF ends inside its image")
    orientation, levels = one(ORIENTATION, 1), tags.get(320, ())
    header = TiffHeader(
        "TIFF",
        width,
        height,
        depth=max(tags.get(258, (1,)), default=1),
        channels=one(277, 1),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        # A decoder unpacks a tile as a whole, however small the image is.
        block=one(322, 0) * one(323, 0),
        white_is_zero=one(262, 1) == 0,
        orientation_at=directory.places.get(ORIENTATION),
        compression=one(259, 1),
        strips=tuple(zip(offsets, sizes, strict=True)),
        rows=max(1, one(323, 0) or min(one(278, height), height)),
        columns=one(322, 0),
        planar=one(284, 1) == 2 and one(277, 1) > 1,
        halved=one(262, 1) == _YCBCR,
        dark_map=(directory.places[320], len(levels)) if levels and max(levels) < 256 else None,
        tables=(directory.places.get(_JPEG_TABLES, 0), len(tags.get(_JPEG_TABLES, ()))),
    )
    _refuse_unsupported(directory, header)
    return header


def exif_orientation(exif: bytes) -> int:
    """The orientation 1 to 8 that EXIF data names; 1 where it names none or is damaged."""
    body = exif[len(_EXIF_NAME) :] if exif.startswith(_EXIF_NAME) else exif
    order = TIFF_MAGICS.get(body[:4])
    if order is None:
        return 1
    try:
        orientation = _directory(body, order, following=False).one(ORIENTATION, 1)
    except (struct.error, ImageError):
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _directory(data: bytes, order: str, following: bool) -> _Directory:
    """The first directory; raises struct.error where the data end too early."""
    (first,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, first)
    if count > _MAX_ENTRIES:
        raise ImageError("corrupt", f"the TIFF has {count} entries in its directory")
    tags, places = {}, {}
    for index in range(count):
        entry = first + 2 + 12 * index
        tag, kind, number = struct.unpack_from(order + "HHI", data, entry)
        if tag not in _WANTED or kind not in _SIZES or tag in tags:
            continue
        if tag == ORIENTATION and kind != 3:
            raise ImageError("corrupt", "the TIFF's orientation is not a short number")
        if number > _MAX_VALUES:
            raise ImageError("too_large", f"the TIFF has {number} strips or tiles")
        at = entry + 8
        if _SIZES[kind] * number > 4:
            (at,) = struct.unpack_from(order + "I", data, at)
        tags[tag] = struct.unpack_from(f"{order}{number}{_CODES[kind]}", data, at)
        places[tag] = at
    (after,) = struct.unpack_from(order + "I", data, first + 2 + 12 * count) if following else (0,)
    return _Directory(tags, places, after)


def _refuse_unsupported(directory: _Directory, header: TiffHeader) -> None:
    """What the decoders would misread, or paint black, is named instead."""
    compression = directory.one(259, 1)
    if directory.one(254, 0) & _REDUCED:
        # As in the raw files of cameras, whose image is elsewhere.
        raise ImageError("unsupported_tiff", "a TIFF whose first image is only a preview of another, as in a raw file")
    if compression in JPEG_2000:
        raise ImageError("unsupported_jpeg2000", "JPEG 2000 inside a TIFF is not read")
    kinds = set(directory.tags.get(339, (1,)))
    colours = directory.one(262, 1)
    deep = header.depth >= 16
    depths = {32, 64} if kinds == {_FLOAT} else {1, 2, 4, 8, 16} if kinds <= {1, 4} else set()
    negative_with_alpha = header.white_is_zero and header.channels == 2 and not deep
    right = compression in _COMPRESSIONS and header.depth in depths and header.channels <= 5 and not negative_with_alpha
    if not right or (deep and (header.planar or compression in _EIGHT_BIT_ONLY or colours not in {0, 1, 2})):
        text = f"{header.channels} channels of {header.depth} bits, compression {compression}, colours {colours}"
        raise ImageError("unsupported_tiff", f"a TIFF with {text}{', in planes' if header.planar else ''}")
