"""On which file system each hot folder lay when it was last used, so that a start without it is seen."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import delete, insert, select

from agent.store.engine import Database
from agent.store.schema import meta
from fbclip.frozen import Frozen

_MACHINE = Path("/etc/machine-id")


class _Remembered(Frozen):
    """folder: a digest of its path, machine: of its id. Of another folder or machine nothing is known."""

    folder: str
    machine: str
    point: str
    kind: str


class StoredMounts:
    """Shares the writer's Database, whose lock makes it safe from any thread. All methods raise StoreError."""

    def __init__(self, database: Database, machine: Path = _MACHINE) -> None:
        self._database = database
        try:
            self._machine = _digest(machine.read_bytes())
        except OSError:
            self._machine = ""

    def recall(self, line: str, folder: Path) -> tuple[Path, str] | None:
        """See `MountMemory`."""
        with self._database.transaction() as connection:
            value = connection.execute(select(meta.c.value).where(meta.c.key == self._key(line))).scalar()
        try:
            known = None if value is None else _Remembered.model_validate_json(value)
        except ValidationError:
            return None
        if known is None or (known.folder, known.machine) != (_of_path(folder), self._machine):
            return None
        return Path(known.point), known.kind

    def remember(self, line: str, folder: Path, point: Path, kind: str) -> None:
        """See `MountMemory`."""
        # JSON holds no lone surrogates, which stand for bytes that are not UTF-8.
        text = str(point).encode("utf-8", "backslashreplace").decode()
        known = _Remembered(folder=_of_path(folder), machine=self._machine, point=text, kind=kind)
        row = {"key": self._key(line), "value": known.model_dump_json()}
        with self._database.transaction() as connection:
            connection.execute(delete(meta).where(meta.c.key == row["key"]))
            connection.execute(insert(meta).values(row))

    def _key(self, line: str) -> str:
        return self._database.key(f"mount:{_digest(line.encode())[:16]}")


def _of_path(folder: Path) -> str:
    return _digest(str(folder).encode("utf-8", "surrogateescape"))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
