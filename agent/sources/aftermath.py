"""Files that were judged a moment ago, watched where they were moved to: their writer may only have paused.

A writer keeps its file open across the move, so what it adds lands in `done` or `failed`, behind a verdict that was
given on a part of the image.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path

from agent.config.source import FolderSource
from agent.sources.disposition import candidates, folder_of
from agent.sources.settling import Stamp

log = logging.getLogger(__name__)
WATCHED_S = 60.0
_MOST_FILES = 1000
_MOST_NAMES = 100


@dataclass(frozen=True)
class _Judged:
    path: Path
    stamp: Stamp
    since: float


class Aftermath:
    """What one folder handed over in the last minute. Times are monotonic seconds."""

    def __init__(self, line: str, section: FolderSource) -> None:
        self._line = line
        self._section = section
        self._watched: deque[_Judged] = deque(maxlen=_MOST_FILES)

    def add(self, path: Path, stamp: Stamp, now: float) -> None:
        """A file, as it was when it was read. One that stays where it is cannot grow unseen."""
        if self._section.after != "move":
            return
        self._watched.append(_Judged(path, stamp, now))

    def bring_back(self, now: float) -> int:
        """Files that were written to since go back under their own names, to be judged again. Returns how many.

        A file that was copied to another device cannot be followed, nor one whose name is taken again.
        """
        changed = [one for one in self._watched if (place := self._moved(one)) and self._return(place, one)]
        if changed:
            # Names of files may name persons, so only their number is logged.
            log.warning(
                "line %s: %d files were written to within a minute after their verdict and are judged again; "
                "settle_s is shorter than the pauses of their writer",
                self._line,
                len(changed),
            )
        self._watched = deque(
            (one for one in self._watched if now - one.since < WATCHED_S and one not in changed), maxlen=_MOST_FILES
        )
        return len(changed)

    def _moved(self, one: _Judged) -> Path | None:
        """Where the very file lies now, if it is among the judged ones and was written to."""
        for folder in (self._section.done_dir, self._section.failed_dir):
            names = islice(candidates(one.path.name, folder_of(one.path, self._section.path, folder)), _MOST_NAMES)
            for place in takewhile(lambda name: name.is_file(), names):
                info = place.stat()
                if info.st_ino == one.stamp.inode:
                    return None if Stamp(info.st_size, info.st_mtime_ns, info.st_ino) == one.stamp else place
        return None

    @staticmethod
    def _return(place: Path, one: _Judged) -> bool:
        try:
            # A link takes no name that is in use, as a rename would.
            os.link(place, one.path, follow_symlinks=False)
            place.unlink()
        except OSError:
            return False
        return True
