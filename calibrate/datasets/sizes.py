"""Image sizes from headers: nothing is decoded, but a file that ends early is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calibrate.datasets.sample import Sample
from fbclip.errors import ImageError
from fbclip.images.decode import image_size
from fbclip.images.header import MAX_BYTES

Size = tuple[int, int]


@dataclass(frozen=True)
class MeasuredSizes:
    """sizes: (width, height) in pixels of every readable image; the others one line a file."""

    sizes: tuple[Size, ...]
    unreadable: tuple[str, ...]
    mask_sizes: tuple[str, ...]


def measure(samples: Sequence[Sample], root: Path) -> MeasuredSizes:
    """Sizes of all images; files the detector would refuse by their header; masks of another size."""
    sizes: list[Size] = []
    unreadable: list[str] = []
    other: list[str] = []
    for sample in samples:
        size = _try(sample.path, root, unreadable)
        mask = None if sample.mask is None else _try(sample.mask, root, unreadable)
        if size is not None:
            sizes.append(size)
        if size is not None and mask is not None and size != mask and sample.mask is not None:
            name, of = (p.relative_to(root).as_posix() for p in (sample.mask, sample.path))
            other.append(f"{name}: {mask[0]}x{mask[1]}, but {of} is {size[0]}x{size[1]}")
    return MeasuredSizes(tuple(sizes), tuple(unreadable), tuple(other))


def _try(path: Path, root: Path, unreadable: list[str]) -> Size | None:
    try:
        return _size(path)
    except (ImageError, OSError) as error:
        # OSError names the file a second time; its cause is enough.
        cause = (error.strerror or "cannot be read") if isinstance(error, OSError) else error
        unreadable.append(f"{path.relative_to(root).as_posix()}: {cause}")
        return None


def _size(path: Path) -> Size:
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    return image_size(data)[:2]
