"""Which files of a hot folder are there, and which of them stand still."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

UNFINISHED_SUFFIXES = (".tmp", ".part", ".partial")
REASON_SUFFIX = ".reason.json"


@dataclass(frozen=True)
class Stamp:
    """What changes when a file is written to: size in bytes, modification time in ns, and which file it is."""

    size: int
    mtime_ns: int
    inode: int


def wanted(name: str) -> bool:
    """False for hidden files, unfinished transfers and the notes beside failed files."""
    lower = name.lower()
    return not (lower.startswith(".") or lower.endswith((*UNFINISHED_SUFFIXES, REASON_SUFFIX)))


def scan(root: Path, recursive: bool) -> Iterator[tuple[Path, Stamp]]:
    """Regular files under root. Links are passed over: they could lead out of the folder. Raises OSError for root."""
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            if folder == root:
                raise
            continue
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if recursive and not entry.name.startswith("."):
                        folders.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False) and wanted(entry.name):
                    info = entry.stat(follow_symlinks=False)
                    yield Path(entry.path), Stamp(info.st_size, info.st_mtime_ns, info.st_ino)
            except OSError:
                # Gone between listing and looking: the next scan knows.
                continue


class Settling:
    """For how long each file has stood still, by the monotonic clock that is handed in."""

    def __init__(self) -> None:
        self._since: dict[Path, tuple[Stamp, float]] = {}

    def observe(self, files: dict[Path, Stamp], now: float) -> None:
        """Take in one scan: changed files begin anew, files that are gone are forgotten."""
        self._since = {
            path: (stamp, self._since[path][1] if path in self._since and self._since[path][0] == stamp else now)
            for path, stamp in files.items()
        }

    def still_for(self, path: Path, now: float) -> float:
        """Seconds without a change; 0 for a file that was not seen."""
        return now - self._since[path][1] if path in self._since else 0.0
