"""The memory of which files were judged, as a folder sees it; the daemon's is in the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agent.records import Disposition, FileState


class KnownFile(Protocol):
    """A row of the ledger; `disposition` is finished once the judged file has left the folder."""

    @property
    def id(self) -> int: ...

    @property
    def state(self) -> FileState: ...

    @property
    def disposition(self) -> Disposition | None: ...


class FileLedger(Protocol):
    """The memory of which files were judged."""

    def find(self, line: str, path: str, size: int, mtime_ns: int) -> KnownFile | None:
        """The latest row of this very file."""

    def add_pending(self, line: str, path: str, size: int, mtime_ns: int, sha256: str) -> int:
        """Enter a file that has arrived and return its id."""

    def claim(self, file_id: int) -> bool:
        """Take a pending file for judging; False if it is not pending."""


@dataclass(frozen=True)
class _Claimed:
    id: int
    state: FileState = FileState.CLAIMED
    disposition: Disposition | None = None


class OnceLedger:
    """Each file once, remembered for this run only: whoever uses it neither claims nor moves anything."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str, int, int], _Claimed] = {}

    def find(self, line: str, path: str, size: int, mtime_ns: int) -> _Claimed | None:
        return self._files.get((line, path, size, mtime_ns))

    def add_pending(self, line: str, path: str, size: int, mtime_ns: int, sha256: str) -> int:  # noqa: ARG002
        file_id = len(self._files) + 1
        self._files[line, path, size, mtime_ns] = _Claimed(file_id)
        return file_id

    def claim(self, file_id: int) -> bool:
        """Nobody else looks at this ledger, so every file may be taken."""
        return any(row.id == file_id for row in self._files.values())
