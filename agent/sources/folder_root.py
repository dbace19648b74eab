"""The folder that a line watches, as it is now: there, the same one as before, ours alone, and writable."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from agent.config.line import FolderSource
from agent.errors import SourceError
from agent.sources.folder_lock import FolderHold, FolderLocks, Identity
from agent.sources.mounts import Mount, mount_of


class FolderRoot:
    """Owned by one thread. A folder that was deleted and made again is another one under the same name."""

    def __init__(self, line: str, section: FolderSource, locks: FolderLocks | None) -> None:
        """`locks`: None for who only looks and takes nothing away."""
        self._line = line
        self._section = section
        self._locks = locks
        self._hold: FolderHold | None = None
        self._mount: Mount | None = None
        self._identity: Identity | None = None

    @property
    def mount(self) -> Mount | None:
        """The file system that holds it; None before the first look, and where the kernel does not tell."""
        return self._mount

    def look(self) -> Identity:
        """Which folder it is, locked for this line. Raises OSError where it is not there, SourceError where it must not
        be read."""
        info = self._section.path.stat()
        identity = info.st_dev, info.st_ino
        if identity == self._identity:
            return identity
        self.leave()
        self._follow_mount()
        if self._locks is not None:
            self._hold = self._locks.take(self._line, self._section.path, self._section.shared)
        self._identity = identity
        return identity

    def changed(self) -> bool:
        """Whether what `look` said last is no longer so; asked often, so no more than one question to the system."""
        try:
            info = self._section.path.stat()
        except OSError:
            return self._identity is not None
        return (info.st_dev, info.st_ino) != self._identity

    def obstacle(self) -> str | None:
        """Why judged files cannot leave the folder; None where they can, or need not. They are judged all the same."""
        section = self._section
        if self._locks is None:
            return None
        if section.after == "move" and (why := _refusal(section.path)):
            return f"judged files cannot leave the folder: {why}"
        if section.fills_outputs:
            for name, folder in (("done", section.done_dir), ("failed", section.failed_dir)):
                if why := _refusal(next(place for place in (folder, *folder.parents) if place.exists())):
                    return f"judged files cannot be put into {name}: {why}"
        return None

    def leave(self) -> None:
        """Let go of the folder; safe to call twice."""
        self._identity = None
        if self._hold is not None:
            self._hold.release()
            self._hold = None

    def _follow_mount(self) -> None:
        """What lies under a mount point from which the file system is gone is another, empty folder: nothing ever comes
        there, and it must not pass for a quiet one."""
        now, before = mount_of(self._section.path), self._mount
        if now is not None and before is not None and len(now.point.parts) < len(before.point.parts):
            raise SourceError("the file system that holds the folder is not mounted any more")
        self._mount = now or before


def _refusal(folder: Path) -> str | None:
    """Why nothing can be written into a folder."""
    if os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        return None
    read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
    return os.strerror(errno.EROFS if read_only else errno.EACCES)
