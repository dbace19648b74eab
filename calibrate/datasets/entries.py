"""What a layout says of each image, by name alone; bytes and units come later."""

from __future__ import annotations

from dataclasses import dataclass

from calibrate.datasets.sample import Split


@dataclass(frozen=True)
class Entry:
    """An image as its layout labels it; file and mask are posix paths relative to the data folder.

    unit: only where the layout itself names it.
    """

    file: str
    label: bool | None
    class_name: str = "all"
    split: Split | None = None
    kind: str | None = None
    mask: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Reading:
    """masks: every file that is a mask and no image, used or not; problems: one line a file."""

    entries: tuple[Entry, ...]
    masks: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
