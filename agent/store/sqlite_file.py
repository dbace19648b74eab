"""The SQLite file itself: where it lies, whether it may lie there, and what to do with a broken one."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from agent.errors import StoreError

log = logging.getLogger(__name__)
NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "glusterfs", "fuse.glusterfs", "fuse.sshfs"}
)
CORRUPT = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})


def sqlite_path(url: URL) -> Path | None:
    """The file that a URL names; None for another kind of database. Raises StoreError for one in memory."""
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database or url.database == ":memory:":
        raise StoreError("store.url: names no file; an alert in memory would be lost with the process")
    return Path(os.path.abspath(url.database))  # noqa: PTH100 (keeps symbolic links as the user wrote them)


def wal_of(path: Path) -> Path:
    """The write-ahead log beside a database file."""
    return path.with_name(path.name + "-wal")


def is_corrupt(error: SQLAlchemyError) -> bool:
    """Whether an error says that the file itself is broken."""
    cause = getattr(error, "orig", None)
    name = str(getattr(cause, "sqlite_errorname", ""))
    return any(name.startswith(code) for code in CORRUPT) or str(error).startswith("SQLITE_CORRUPT")


def move_aside(path: Path) -> None:
    """Keep a corrupt database with its WAL under another name, loudly."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    for name in (path.name, path.name + "-wal", path.name + "-shm"):
        source = path.with_name(name)
        if source.exists():
            source.rename(path.with_name(f"{name}.corrupt-{stamp}"))
    log.error("%s is corrupt: moved aside as %s.corrupt-%s, a new database is started", path, path.name, stamp)


def refuse_network(path: Path) -> None:
    """Raises StoreError: SQLite's WAL needs shared memory and locks that network file systems do not keep."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return
    kind = filesystem_of(path, mounts.read_text(encoding="utf-8", errors="replace"))
    if kind in NETWORK_FILESYSTEMS:
        raise StoreError(f"{path}: lies on a network file system ({kind}); use a local disk or PostgreSQL")


def filesystem_of(path: Path, mounts: str) -> str:
    """Type of the file system that holds `path`, by the text of /proc/mounts; empty if not known."""
    real = Path(os.path.realpath(path))
    best, kind = -1, ""
    for row in mounts.splitlines():
        fields = row.split(" ")
        if len(fields) < 3:
            continue
        point = Path(fields[1].replace("\\040", " "))
        # A later mount on the same point hides the earlier one.
        if (real == point or point in real.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind
