"""The ledger of a folder that several agents empty: a file is claimed in the same transaction that enters it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import PurePosixPath

from agent.store.claims import Claims, FileKey
from agent.store.ledger import FileRow, Ledger, LedgerEntry

# A file that another agent has is not asked for again at once: the folder is looked at several times a second.
ASK_AGAIN_S = 2.0


class _Lost(Exception):
    """Somebody else claimed the file in the same moment; what was entered is taken back."""


class SharedLedger:
    """Of the line of one folder, at `root` on this machine, as the ledger writes paths; `ledger` is that of all lines.
    Owned by one thread.

    All methods raise StoreError. A `FileLedger`.
    """

    def __init__(
        self, ledger: Ledger, claims: Claims, root: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger = ledger
        self._claims = claims
        self._root = root
        self._monotonic = monotonic
        # Files that others have, and when to ask again.
        self._elsewhere: dict[FileKey, float] = {}

    @property
    def revision(self) -> int:
        return self._ledger.revision

    def find(self, line: str, path: str, size: int, mtime_ns: int) -> FileRow | None:
        """In this agent's own rows."""
        return self._ledger.find(line, path, size, mtime_ns)

    def has_content(self, line: str, sha256: str, but: int) -> bool:
        return self._ledger.has_content(line, sha256, but)

    def add_claimed(self, line: str, path: str, size: int, mtime_ns: int) -> int | None:
        """Enter and claim a file; None where another agent has it, or had it and it is to be looked at once more."""
        entry = LedgerEntry(line, path, size, mtime_ns)
        key = self._key(entry)
        if self._is_elsewhere(key):
            return None
        try:
            with self._ledger.adding(entry) as connection:
                if not self._claims.is_known(connection, key):
                    file_id = self._ledger.enter(connection, entry)
                    if not self._claims.take(connection, key, file_id):
                        raise _Lost
                    return file_id
                ours = self._claims.take_over(connection, key, entry)
        except _Lost:
            ours = False
        if not ours:
            self._elsewhere[key] = self._monotonic() + ASK_AGAIN_S
        return None

    def claim(self, file_id: int) -> bool:
        return self._ledger.claim(
            file_id, lambda connection, entry: self._claims.keep(connection, self._key(entry), file_id)
        )

    def opened(self, file_id: int, sha256: str) -> None:
        self._ledger.opened(file_id, sha256)

    def skip(self, file_id: int, sha256: str, reason: str) -> None:
        self._ledger.skip(file_id, sha256, reason)

    def release(self, file_id: int) -> None:
        """A row that says nothing goes, and with it the claim."""
        self._ledger.release(file_id)

    def _key(self, entry: LedgerEntry) -> FileKey:
        inner = PurePosixPath(entry.path).relative_to(self._root)
        return FileKey.of(entry.line, str(inner), entry.size, entry.mtime_ns)

    def _is_elsewhere(self, key: FileKey) -> bool:
        now = self._monotonic()
        self._elsewhere = {one: until for one, until in self._elsewhere.items() if until > now}
        return key in self._elsewhere
