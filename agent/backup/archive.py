"""The archive itself: a tar whose last member says what it must hold. Read twice: nothing is written of a damaged one.

Members are `config/…` (relative to the folder of agent.yaml), `data/…` (to the data directory), `database`, and
`outside/…` for files that agent.yaml names elsewhere.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from pydantic import ValidationError

from agent.errors import AgentError
from fbclip.frozen import Frozen

DATABASE = "database"
MANIFEST = "manifest.json"
MAX_MANIFEST = 64 << 20
_CHUNK = 1 << 20


class BackupError(AgentError):
    """A backup that cannot be made or put back."""


class BackupManifest(Frozen):
    """`files`: member -> sha256 of its bytes."""

    schema_: Literal["fbclip.backup/1"] = "fbclip.backup/1"
    created: datetime
    version: str
    agent: str
    config: str
    files: dict[str, str]


class ArchiveWriter:
    """Members one after the other, then the manifest."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.files: dict[str, str] = {}

    def add(self, name: str, path: Path) -> None:
        """A file as it is now; one that grows or shrinks meanwhile is refused by the tar, with its name."""
        info = self._tar.gettarinfo(str(path), arcname=name)
        # Who owned it is nobody's business on another machine.
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        with path.open("rb") as stream:
            reader = _Hashing(stream)
            self._tar.addfile(info, reader)
        self.files[name] = reader.digest.hexdigest()

    def close(self, manifest: BackupManifest) -> None:
        data = manifest.model_dump_json().encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode, info.mtime = len(data), 0o600, int(manifest.created.timestamp())
        self._tar.addfile(info, io.BytesIO(data))


class ArchiveReader:
    """An archive that was checked from end to end. Raises BackupError."""

    def __init__(self, tar: tarfile.TarFile, path: Path) -> None:
        self._tar, self._path = tar, path
        try:
            members = tar.getmembers()
            self._members = {member.name: member for member in members}
            if not members or members[-1].name != MANIFEST or members[-1].size > MAX_MANIFEST:
                raise BackupError(f"{path}: is cut off, or no backup of an agent")
            with self.open(MANIFEST) as stream:
                self.manifest = BackupManifest.model_validate_json(stream.read())
            self._check(members[:-1])
        except (tarfile.TarError, EOFError, ValidationError) as error:
            raise BackupError(f"{path}: is damaged, or no backup of an agent") from error

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.manifest.files)

    def mode(self, name: str) -> int:
        """Its permissions, without anything that runs with another account's rights."""
        return self._members[name].mode & 0o777

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        member = self._members.get(name)
        stream = None if member is None or not member.isreg() else self._tar.extractfile(member)
        if stream is None:
            raise BackupError(f"{self._path}: {name} is not in it")
        with stream:
            yield stream

    def _check(self, members: list[tarfile.TarInfo]) -> None:
        files = self.manifest.files
        if len(members) != len(files) or {m.name for m in members} != set(files):
            raise BackupError(f"{self._path}: does not hold the files that it says")
        for name, expected in files.items():
            parts = PurePosixPath(name).parts
            if ".." in parts or name.startswith("/") or parts[0] not in {"config", "data", "outside", DATABASE}:
                raise BackupError(f"{self._path}: {name} has no place")
            with self.open(name) as stream:
                reader = _Hashing(stream)
                while reader.read(_CHUNK):
                    pass
            if reader.digest.hexdigest() != expected:
                raise BackupError(f"{self._path}: {name} is damaged")


@contextmanager
def writing(path: Path) -> Iterator[ArchiveWriter]:
    """A new archive for this account only, whole or not there. Raises BackupError where the name is taken."""
    if path.exists():
        raise BackupError(f"{path}: is there already; a backup overwrites none")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as stream:
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
                yield ArchiveWriter(tar)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def reading(path: Path) -> Iterator[ArchiveReader]:
    """Raises BackupError for what is no whole backup."""
    try:
        tar = tarfile.open(path, mode="r:")  # noqa: SIM115 (closed below)
    except (tarfile.TarError, EOFError) as error:
        raise BackupError(f"{path}: is damaged, or no backup of an agent") from error
    with tar:
        yield ArchiveReader(tar, path)


class _Hashing:
    """Takes the digest of what is read through it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.digest.update(data)
        return data
