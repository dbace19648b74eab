"""A reference stands for a file of a private line wherever its name must not: in messages, notes, logs and answers.

It is a keyed digest: without the key of this machine nobody can tell whether it belongs to a name he guesses.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import StoreError

KEY_NAME = "reference.key"
KEY_BYTES = 32
_LENGTH = 32


@dataclass(frozen=True)
class References:
    """Makes references with the key of one data directory."""

    _key: bytes = field(repr=False)

    def of(self, line: str, path: str, sha256: str) -> str:
        """32 hex digits, the same for the same bytes under the same path (as the ledger writes it) on the same line."""
        text = "\0".join((line, path, sha256)).encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:_LENGTH]

    def of_series(self, line: str, series: str) -> str:
        """64 hex digits for a digest of identifiers, which anybody who knows those could make as well."""
        return hmac.new(self._key, f"series\0{line}\0{series}".encode(), hashlib.sha256).hexdigest()


def read_references(data_dir: Path) -> References:
    """With the key that the agent made here; raises StoreError where there is none or it may be read by others."""
    path = data_dir / KEY_NAME
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            key = stream.read(KEY_BYTES + 1)
    except OSError as error:
        raise StoreError(f"{path}: the key of the references cannot be read: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise StoreError(f"{path}: is no key of references; restore it from a backup, or remove it to have one made")
    if mode & 0o077:
        raise StoreError(f"{path}: other accounts may read the key; chmod 600, and make a new one if they did")
    return References(key)


def open_references(data_dir: Path) -> References:
    """As `read_references`; a key is made where there is none. Raises StoreError."""
    path = data_dir / KEY_NAME
    if not path.exists():
        try:
            _make(path)
        except OSError as error:
            raise StoreError(f"{path}: the key of the references cannot be made: {error.strerror}") from error
    return read_references(data_dir)


def _make(path: Path) -> None:
    """Whole or not there, and never in place of another."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_bytes(KEY_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
