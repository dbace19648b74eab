"""One line empties a hot folder: a lock on the folder itself, which ends with the process at the latest.

Its own lines are told apart here, because the kernel knows processes only. A source that hangs is replaced by another
of the same line, and the two share the lock.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import SourceError
from agent.privacy.quiet_log import withheld

log = logging.getLogger(__name__)
Identity = tuple[int, int]
_TAKEN = frozenset({errno.EWOULDBLOCK, errno.EACCES})


@dataclass
class _Held:
    line: str
    handle: int
    holders: int = 1


@dataclass(frozen=True, eq=False)
class FolderHold:
    """The lock of one folder, as one source has it; `release` may be called twice."""

    identity: Identity
    _locks: FolderLocks
    _open: list[bool] = field(default_factory=lambda: [True])

    def release(self) -> None:
        if self._open:
            self._open.clear()
            self._locks._let_go(self.identity)


class FolderLocks:
    """Of all hot folders of this process; for any thread."""

    def __init__(self) -> None:
        self._held: dict[Identity, _Held] = {}
        self._guard = threading.Lock()

    def take(self, line: str, folder: Path, shared: bool = False) -> FolderHold:
        """Raises SourceError where another line or another agent has the folder, OSError where it cannot be opened.

        `shared`: with other agents that share it too, and with no others.
        """
        # The folder itself, so that nothing of ours lies among the files to be judged.
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        info = os.fstat(handle)
        identity = info.st_dev, info.st_ino
        with self._guard:
            held = self._held.get(identity)
            if held is not None:
                os.close(handle)
                if held.line != line:
                    raise SourceError(f"line {held.line} empties this hot folder already")
                held.holders += 1
                return FolderHold(identity, self)
            try:
                fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _TAKEN:
                    os.close(handle)
                    alone = "; source.shared: true must stand in all or none of them" if shared else ""
                    raise SourceError(f"another agent empties this hot folder{alone}") from error
                # A share that knows no locks: two agents on it cannot be told apart.
                log.warning("line %s: its folder cannot be locked against a second agent: %s", line, error.strerror)
            self._held[identity] = _Held(line, handle)
            return FolderHold(identity, self)

    def _let_go(self, identity: Identity) -> None:
        with self._guard:
            held = self._held[identity]
            held.holders -= 1
            if not held.holders:
                del self._held[identity]
                os.close(held.handle)


def refuse_taken(folder: Path, shared: bool = False) -> None:
    """Raises SourceError where another agent empties the folder now. One that is not there yet is nobody's."""
    try:
        FolderLocks().take("", folder, shared).release()
    except SourceError as error:
        raise SourceError(f"{withheld(str(folder))}: {error}") from error
    except OSError:
        return
