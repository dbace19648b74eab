"""The SQLite file itself: where it lies, whether it may lie there, and what to do with a broken one."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import URL

from agent.errors import StoreError

log = logging.getLogger(__name__)
NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "glusterfs", "fuse.glusterfs", "fuse.sshfs"}
)


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


def identity(path: Path) -> tuple[int, int] | None:
    """Which file lies at a path now; None if there is none."""
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino


def make_private(path: Path) -> None:
    """The database at `path`, there or to come, is for this account only. Raises StoreError.

    SQLite gives its -wal and -shm files the mode of the database.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            # Only where there is none: closing a file drops every lock that SQLite has on it in this process.
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        for name in (path.name, path.name + "-wal", path.name + "-shm"):
            file = path.with_name(name)
            if file.exists() and file.stat().st_mode & 0o077:
                file.chmod(0o600)
    except OSError as error:
        raise StoreError(f"{path}: cannot be made or kept private: {error.strerror}") from error


def make_private_folder(folder: Path, shared: Sequence[Path]) -> None:
    """Close a data directory to other accounts, unless they need a way through it to a `shared` folder inside.

    What lies in it and may name persons has private modes of its own. Raises StoreError.
    """
    try:
        inside = [path for path in shared if folder in path.parents and path.exists()]
        if not inside:
            folder.chmod(folder.stat().st_mode & 0o700)
        pictures = folder / "pictures"
        if pictures.is_dir():
            # Those of earlier versions are hidden with their folder.
            pictures.chmod(0o700)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be kept private: {error.strerror}") from error


def move_aside(path: Path, why: str) -> Path:
    """Keep a database with its WAL under another name, loudly; returns the new path."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    aside = path.with_name(f"{path.name}.{why}-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            # With the same endings, so that SQLite finds what belongs together.
            source.rename(aside.with_name(aside.name + suffix))
    log.error("%s is %s: moved aside as %s", path, why, aside.name)
    return aside


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
