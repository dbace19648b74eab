"""Room that is kept for the database on a full disk: a floor below which no image is written, and a file to let go.

On a full disk SQLite can neither delete nor empty its log. A file that is removed at that moment gives it the room to
go on, and retention the room to clear up.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger(__name__)
MB = 1 << 20
NAME = "ballast"
# Twice what the log of the database may grow to.
BALLAST_BYTES = 32 * MB
FLOOR_BYTES = 64 * MB
# Of small disks a quarter is for verdicts, and a twentieth is ballast.
FLOOR_SHARE = 4
BALLAST_SHARE = 20


def disk_usage(folder: Path) -> tuple[int, int]:
    """Total and free bytes of the disk that holds a folder, which may not be there yet."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    usage = shutil.disk_usage(existing)
    return usage.total, usage.free


def picture_floor(total: int) -> int:
    """Free bytes below which no image is written to a disk of `total` bytes: what is left is for verdicts."""
    return min(FLOOR_BYTES, total // FLOOR_SHARE)


class Ballast:
    """The file beside the database. Owned by one thread."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / NAME
        self.released = False

    def keep(self) -> None:
        """Lay the file down where it is missing and the disk has room for twice as much and the floor."""
        try:
            usage = shutil.disk_usage(self._file.parent)
            size = min(BALLAST_BYTES, usage.total // BALLAST_SHARE)
            if self._file.exists() and self._file.stat().st_size >= size:
                self.released = False
                return
            if usage.free < 2 * size + picture_floor(usage.total):
                return
            handle = os.open(self._file, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, size)
            finally:
                os.close(handle)
        except OSError as error:
            log.debug("no ballast is kept: %s", error.strerror)
            return
        if self.released:
            log.info("the disk has room again: the ballast of %d MB is laid down anew", size // MB)
        self.released = False

    def release(self) -> None:
        """The database found no room: it gets this."""
        try:
            self._file.unlink()
        except OSError:
            return
        self.released = True
        log.error("the disk of the database is full: its ballast is let go")
