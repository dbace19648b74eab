"""The folder that a line watches, as it is now: there, the same one as before, ours alone, and writable."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from agent.config.source import FolderSource
from agent.errors import SourceError
from agent.sources.folder_lock import FolderHold, FolderLocks, Identity
from agent.sources.mounts import Mount, MountMemory, is_below, mount_of, planned_mount

# `source.mount` of a folder that may lie on any file system.
_ANYWHERE = Path("/")
_MEANT = "if it is not meant to be, set source.mount: /"


class FolderRoot:
    """Owned by one thread. A folder that was deleted and made again is another one under the same name."""

    def __init__(
        self, line: str, section: FolderSource, locks: FolderLocks | None, mounts: MountMemory | None = None
    ) -> None:
        """`locks`: None for who only looks and takes nothing away. `mounts`: None for who knows of no earlier run."""
        self._line = line
        self._section = section
        self._locks = locks
        self._mounts = mounts
        self._hold: FolderHold | None = None
        self._mount: Mount | None = None
        self._identity: Identity | None = None

    @property
    def mount(self) -> Mount | None:
        """The file system that holds it; None before the first look, and where the kernel does not tell."""
        return self._mount

    def look(self) -> Identity:
        """Which folder it is, locked for this line. Raises OSError where it is not there, SourceError where it must not
        be read, StoreError."""
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

    def check_mount(self) -> Mount | None:
        """What holds the folder. What lies under a mount point from which the file system is gone is another, empty
        folder: nothing ever comes there, and it must not pass for a quiet one. Raises SourceError, StoreError."""
        section = self._section
        now = mount_of(section.path)
        if now is None or section.mount == _ANYWHERE:
            return now
        if section.mount is not None:
            wanted = Path(os.path.realpath(section.mount))
            held = mount_of(wanted)
            if held is None or held.point != wanted or not now.point.is_relative_to(wanted):
                raise SourceError("no file system is mounted at source.mount, or it does not hold the folder")
            return now
        if self._mount is not None and is_below(now, self._mount):
            raise SourceError("the file system that holds the folder is not mounted any more")
        earlier, planned = self._earlier(), planned_mount(section.path)
        for mount, who in ((earlier, "held the folder in an earlier run"), (planned, "/etc/fstab has for the folder")):
            if mount is not None and is_below(now, mount):
                raise SourceError(f"the file system that {who} ({mount.kind}) is not mounted; {_MEANT}")
        return now

    def _follow_mount(self) -> None:
        now = self.check_mount()
        if now is not None and self._mounts is not None and now != self._earlier():
            self._mounts.remember(self._line, self._section.path, now.point, now.kind)
        self._mount = now or self._mount

    def _earlier(self) -> Mount | None:
        found = None if self._mounts is None else self._mounts.recall(self._line, self._section.path)
        return None if found is None else Mount(*found)


def _refusal(folder: Path) -> str | None:
    """Why nothing can be written into a folder."""
    if os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        return None
    read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
    return os.strerror(errno.EROFS if read_only else errno.EACCES)
