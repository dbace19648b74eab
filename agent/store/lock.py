"""Two agents never write one store: exclusive locks that end with the process."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from agent.errors import StoreError

LOCK_NAME = "agent.lock"


class DataLock:
    """Held from construction to `release`: the data directory and the file of the database."""

    def __init__(self, data_dir: Path, database: Path | None = None) -> None:
        """Raises StoreError if another agent holds one of them, or a file cannot be made.

        `database`: None for a server.
        """
        self._held: list[int] = []
        try:
            self._take_file(data_dir / LOCK_NAME, "uses this data directory")
            if database is not None:
                real = Path(os.path.realpath(database))
                # Beside it and hidden: SQLite loses its own locks when anybody of this process closes its file, and a
                # wildcard that deletes the database must not take this along.
                self._take_file(real.with_name(f".{real.name}.lock"), f"uses the database {database.name}")
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go; safe to call twice. The files stay: removing one would let two agents lock two files."""
        while self._held:
            os.close(self._held.pop())

    def __enter__(self) -> DataLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _take_file(self, path: Path, use: str) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{path}: cannot be opened: {error.strerror}") from error
        self._held.append(handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise StoreError(f"{path}: another agent (process {holder}) {use}") from error
        # Who holds it helps people only: on a full disk it stays untold.
        with suppress(OSError):
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode("ascii"), 0)


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
