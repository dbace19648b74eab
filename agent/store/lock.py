"""Two agents never write one store: an exclusive lock on a file in the data directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from agent.errors import StoreError

LOCK_NAME = "agent.lock"


class DataLock:
    """Held from construction to `release`; the kernel lets go of it when the process dies."""

    def __init__(self, data_dir: Path) -> None:
        """Raises StoreError if another agent holds it or the file cannot be made."""
        path = data_dir / LOCK_NAME
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+", encoding="ascii")
        except OSError as error:
            raise StoreError(f"{path}: cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise StoreError(f"{path}: another agent (process {holder}) uses this data directory") from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let go; safe to call twice. The file stays: removing it would let two agents lock two files."""
        self._file.close()

    def __enter__(self) -> DataLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_locked(data_dir: Path) -> bool:
    """Whether an agent holds the data directory now."""
    try:
        with (data_dir / LOCK_NAME).open(encoding="ascii") as file:
            # Shared, so that two who ask do not take each other for an agent; nothing is written.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
