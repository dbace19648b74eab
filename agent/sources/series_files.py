"""The files that one volume is made of: what waits in the hot folder, and what was judged before and lies elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from pathlib import Path

from agent.config.source import FolderSource
from agent.records import SUPERSEDED, EarlierFile, SeriesFile
from agent.sources.disposition import candidates, judged_sha256
from agent.sources.path_text import to_path, to_text
from agent.sources.series_gathering import WaitingSlice
from fbclip.images.scans.series_order import CONFLICT, DUPLICATE

# A file that waited and is not there any more, and one that was judged and is not where it went.
GONE, EARLIER_GONE, CHANGED = "gone", "earlier_slice_gone", "changed"
_MOST_NAMES = 1000


class SeriesChanged(Exception):
    """A file is not the one that waited: it was written to, replaced or taken away meanwhile."""


@dataclass(frozen=True)
class SeriesFiles:
    """files: of the volume, earlier ones first, each as it came; `reason` where there is no slice to be had. skipped:
    what is none of them, with the word why. judged_before: the latest inspection of earlier ones."""

    files: tuple[SeriesFile, ...]
    skipped: tuple[tuple[WaitingSlice, str], ...] = ()
    judged_before: int | None = None
    changed: bool = field(default=False)

    @property
    def new(self) -> tuple[SeriesFile, ...]:
        return tuple(one for one in self.files if not one.was_judged)


def collect_files(
    section: FolderSource,
    waiting: Sequence[WaitingSlice],
    earlier: Sequence[EarlierFile],
    alive: Callable[[], object] = lambda: None,
) -> SeriesFiles:
    """Look where everything is; `alive` is called between files. Raises OSError where that cannot be seen."""
    own = {one.file_id for one in waiting}
    shas, names = {one.header.sha256 for one in waiting}, {one.name for one in waiting}
    found: list[SeriesFile] = []
    gone: list[SeriesFile] = []
    known: set[str] = set()
    back: set[str] = set()
    # Of bytes that were judged twice, because they were brought back, the latest row says what became of them.
    for one in {one.sha256: one for one in earlier}.values():
        alive()
        place = None if one.id in own else find_judged(section, one)
        returned = one.id not in own and one.sha256 in shas and (place is None or to_text(place) in names)
        if one.reason == SUPERSEDED:
            # Out of the game; sent once more it is a duplicate, brought back it is in conflict again.
            known |= set() if returned or place is None else {one.sha256}
        elif returned:
            # An operator wants it judged again: the file itself has come back, or stayed where it was.
            back.add(one.sha256)
        elif place is not None:
            found.append(SeriesFile(one.id, one.path, to_text(place), one.sha256, was_judged=True))
            known.add(one.sha256)
        elif one.id not in own and one.path not in names:
            reason = SUPERSEDED if one.reason == CONFLICT else EARLIER_GONE
            gone.append(SeriesFile(one.id, one.path, one.path, one.sha256, reason, was_judged=True))
    if found or len(gone) > len(back):
        # Only who brings back all that is left of a conflict has decided which of it counts.
        gone = [replace(one, reason=EARLIER_GONE) for one in gone]
    found += gone
    skipped = []
    changed = False
    for slice_ in waiting:
        sha256 = slice_.header.sha256
        file = SeriesFile(slice_.file_id, slice_.name, slice_.name, sha256, chosen=sha256 in back)
        state = _state(slice_)
        if state == CHANGED:
            changed = True
            skipped.append((slice_, CHANGED))
        elif file.sha256 in known:
            skipped.append((slice_, DUPLICATE))
        else:
            known.add(file.sha256)
            found.append(replace(file, reason=state))
    before = max((one.inspection_id for one in earlier), default=None)
    return SeriesFiles(tuple(found), tuple(skipped), before, changed)


def find_judged(section: FolderSource, one: EarlierFile) -> Path | None:
    """Where a file lies that left the hot folder, or should have; None where its bytes are nowhere."""
    path = to_path(one.path)
    for place in (path, *_moved_to(section, path)):
        if place.is_file() and place.stat().st_size == one.size and judged_sha256(place) == one.sha256:
            return place
    return None


def reader(file: SeriesFile) -> Callable[[], bytes]:
    """Gives the bytes that were judged or that waited; raises SeriesChanged where there are others, OSError."""

    def read() -> bytes:
        try:
            data = to_path(file.place).read_bytes()
        except FileNotFoundError as error:
            raise SeriesChanged from error
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise SeriesChanged
        return data

    return read


def _state(one: WaitingSlice) -> str | None:
    try:
        info = one.path.lstat()
    except FileNotFoundError:
        return GONE
    same = (info.st_size, info.st_mtime_ns, info.st_ino) == (one.stamp.size, one.stamp.mtime_ns, one.stamp.inode)
    return None if same else CHANGED


def _moved_to(section: FolderSource, path: Path) -> list[Path]:
    """Names that the file may have got in `done` and `failed`, with the folders that it lay in and without."""
    below = path.parent.relative_to(section.path) if path.is_relative_to(section.path) else Path()
    places = dict.fromkeys(
        folder / inner for folder in (section.done_dir, section.failed_dir) for inner in (below, Path())
    )
    out: list[Path] = []
    for folder in places:
        names = islice(candidates(path.name, folder), _MOST_NAMES)
        out += takewhile(lambda name: name.exists(), names)
    return out
