"""The memory of which files were judged, as a folder sees it; the daemon's is in the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agent.records import Disposition, FileState


class KnownFile(Protocol):
    """A row of the ledger; `disposition` is finished once the judged file has left the folder, and left where it stays.

    `quarantined`: the agent died over this file before, and it must not be decoded again.
    """

    @property
    def id(self) -> int: ...

    @property
    def state(self) -> FileState: ...

    @property
    def disposition(self) -> Disposition | None: ...

    @property
    def quarantined(self) -> bool: ...


class FileLedger(Protocol):
    """The memory of which files were judged. A file is entered before it is opened, so that one which ends the whole
    agent is known at the next start."""

    @property
    def revision(self) -> int:
        """Another number once an operator has asked for a file to be judged again."""

    def find(self, line: str, path: str, size: int, mtime_ns: int) -> KnownFile | None:
        """The latest row of this very file."""

    def has_content(self, line: str, sha256: str, but: int) -> bool:
        """Whether another file than `but` with these bytes has its verdict, or waits for it."""

    def add_claimed(self, line: str, path: str, size: int, mtime_ns: int) -> int | None:
        """Enter a file that has arrived, taken for judging at once, and return its id; None where another agent has
        it."""

    def claim(self, file_id: int) -> bool:
        """Take a pending file for judging; False if it is not pending."""

    def opened(self, file_id: int, sha256: str) -> None:
        """A claimed file was read and decoded, or has a reason why it cannot be; it waits for its verdict."""

    def skip(self, file_id: int, sha256: str, reason: str) -> None:
        """A claimed file holds nothing to be judged; it leaves the folder without a verdict."""

    def release(self, file_id: int) -> None:
        """A claimed file cannot be judged yet: whoever looks again finds it as it was before."""


@dataclass(frozen=True)
class _Claimed:
    id: int
    state: FileState = FileState.CLAIMED
    disposition: Disposition | None = None
    quarantined: bool = False


class OnceLedger:
    """Each file once, remembered for this run only: whoever uses it neither claims nor moves anything."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str, int, int], _Claimed] = {}
        self._next = 1

    @property
    def revision(self) -> int:
        return 0

    def has_content(self, line: str, sha256: str, but: int) -> bool:  # noqa: ARG002
        """It does not look at contents."""
        return False

    def find(self, line: str, path: str, size: int, mtime_ns: int) -> _Claimed | None:
        return self._files.get((line, path, size, mtime_ns))

    def add_claimed(self, line: str, path: str, size: int, mtime_ns: int) -> int:
        file_id, self._next = self._next, self._next + 1
        self._files[line, path, size, mtime_ns] = _Claimed(file_id)
        return file_id

    def claim(self, file_id: int) -> bool:
        """Nobody else looks at this ledger, so every file may be taken."""
        return any(row.id == file_id for row in self._files.values())

    def opened(self, file_id: int, sha256: str) -> None:
        """Nothing to remember."""

    def skip(self, file_id: int, sha256: str, reason: str) -> None:
        """Nothing to remember."""

    def release(self, file_id: int) -> None:
        self._files = {key: row for key, row in self._files.items() if row.id != file_id}
