"""Which files of a hot folder are there, and which of them stand still."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fbclip.images.side_files import is_side_file, is_system_folder, is_unfinished

REASON_SUFFIX = ".reason.json"
_AT_ONCE = 1000


@dataclass(frozen=True)
class Stamp:
    """What changes when a file is written to: size in bytes, modification time in ns, and which file it is."""

    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True)
class Listing:
    """What a folder holds: files that may be images; how many files and folders beside them are ignored by name."""

    files: Mapping[Path, Stamp]
    ignored: int


def list_folder(root: Path, recursive: bool, alive: Callable[[], object] = lambda: None) -> Listing:
    """Regular files under root. Links are passed over: they could lead out of the folder. Raises OSError for root.

    `alive` is called now and then: a share may take a minute for tens of thousands of files.
    """
    files: dict[Path, Stamp] = {}
    ignored = 0
    folders = [root]
    while folders:
        folder = folders.pop()
        alive()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            if folder == root:
                raise
            continue
        for number, entry in enumerate(entries, start=1):
            if number % _AT_ONCE == 0:
                alive()
            try:
                if entry.is_dir(follow_symlinks=False):
                    if is_system_folder(entry.name):
                        ignored += 1
                    elif recursive and not entry.name.startswith("."):
                        folders.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False) or is_unfinished(entry.name):
                    continue
                elif is_side_file(entry.name):
                    ignored += 1
                else:
                    info = entry.stat(follow_symlinks=False)
                    files[Path(entry.path)] = Stamp(info.st_size, info.st_mtime_ns, info.st_ino)
            except OSError:
                # Gone between listing and looking: the next scan knows.
                continue
    return Listing(files, ignored)


class Settling:
    """For how long each file has stood still, by the monotonic clock that is handed in."""

    def __init__(self) -> None:
        self._since: dict[Path, tuple[Stamp, float]] = {}

    def observe(self, files: Mapping[Path, Stamp], now: float) -> None:
        """Take in one scan: changed files begin anew, files that are gone are forgotten."""
        self._since = {
            path: (stamp, self._since[path][1] if path in self._since and self._since[path][0] == stamp else now)
            for path, stamp in files.items()
        }

    def still_for(self, path: Path, now: float) -> float:
        """Seconds without a change; 0 for a file that was not seen."""
        return now - self._since[path][1] if path in self._since else 0.0
