"""Hints that something has changed in a folder. They get lost, so they only bring the next look forward.

Where there are none (a share, or the kernel has no room for another watch) the folder is looked at more often.
"""

from __future__ import annotations

import errno
import logging
import threading

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from agent.config.source import FolderSource
from agent.sources.folder_lock import Identity
from agent.sources.mounts import Mount

log = logging.getLogger(__name__)
# A kernel without room is asked again so many seconds later: somebody may have raised its limit.
RETRY_S = 60.0
_LIMITS = {errno.ENOSPC: "fs.inotify.max_user_watches", errno.EMFILE: "fs.inotify.max_user_instances"}


class _Hint(FileSystemEventHandler):
    def __init__(self, wake: threading.Event) -> None:
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        # Opening and reading are events too, and the scan itself makes them.
        if event.event_type in {"created", "modified", "moved", "closed"}:
            self._wake.set()


class FolderWatch:
    """Owned by one thread; `wake` is set by another."""

    def __init__(self, line: str, section: FolderSource, wake: threading.Event) -> None:
        self._line = line
        self._section = section
        self._wake = wake
        self._observer: BaseObserver | None = None
        self._identity: Identity | None = None
        self._refused_at = 0.0
        self.way = "watching"

    @property
    def hears(self) -> bool:
        """Whether hints come; else somebody has to look."""
        return self._observer is not None

    def follow(self, identity: Identity, mount: Mount | None, now: float) -> None:
        """Watch the folder that is there now. `now`: monotonic s."""
        deaf = self._observer is not None and not self._works(self._observer)
        refused = self._observer is None and self._refused_at and now - self._refused_at >= RETRY_S
        if identity == self._identity and not deaf and not refused:
            return
        self.stop()
        self._identity = identity
        section = self._section
        if section.network or (section.network is None and mount is not None and mount.remote):
            self.way = "polling (network: true)" if mount is None or section.network else f"polling ({mount.kind})"
            return
        observer = Observer()
        try:
            observer.schedule(_Hint(self._wake), str(section.path), recursive=section.recursive)
            observer.start()
        except OSError as error:
            self._refuse(error, now)
            return
        self._observer, self.way = observer, "watching"

    def stop(self) -> None:
        """No more hints; safe to call twice."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
        self._observer = self._identity = None
        self._refused_at = 0.0

    def _refuse(self, error: OSError, now: float) -> None:
        limit = _LIMITS.get(error.errno or 0)
        why = error.strerror if limit is None else f"inotify is exhausted, raise {limit}"
        way = f"polling ({why})"
        if way != self.way:
            log.warning("line %s: the folder cannot be watched: %s; it is polled", self._line, why)
        self.way, self._refused_at = way, now

    @staticmethod
    def _works(observer: BaseObserver) -> bool:
        """One whose threads died over an error gives no more hints, and says nothing of it."""
        return observer.is_alive() and all(emitter.is_alive() for emitter in observer.emitters)
