"""Which file system holds a folder, as the kernel tells it: can its changes be heard of, and is it the one it was."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MOUNTS = Path("/proc/self/mountinfo")
FSTAB = Path("/etc/fstab")
# What other machines (or the host of a virtual one) write there, the kernel of this one does not hear of.
_REMOTE = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "ceph", "lustre", "gfs2", "ocfs2"),
        *("gpfs", "glusterfs", "beegfs", "9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs", "davfs"),
    }
)
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """Where a file system is mounted, and of which kind it is."""

    point: Path
    kind: str

    @property
    def remote(self) -> bool:
        """Whether changes may come that inotify does not tell of. What runs on FUSE is remote, but for local disks."""
        return self.kind in _REMOTE or self.kind == "fuse" or self.kind.startswith("fuse.")


class MountMemory(Protocol):
    """What a folder lay on in an earlier run; the daemon's is in the database."""

    def recall(self, line: str, folder: Path) -> tuple[Path, str] | None:
        """Point and kind; None where nothing is known of this line with this folder on this machine."""

    def remember(self, line: str, folder: Path, point: Path, kind: str) -> None:
        """For the runs to come."""


def mount_of(path: Path, table: str | None = None) -> Mount | None:
    """The mount that holds `path`, by the text of /proc/self/mountinfo; None where the kernel does not tell."""
    if table is None:
        try:
            table = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
    real = Path(os.path.realpath(path))
    found: Mount | None = None
    for row in table.splitlines():
        left, _, right = row.partition(" - ")
        fields, kinds = left.split(" "), right.split(" ")
        if len(fields) < 6 or not kinds[0]:
            continue
        point = _unescaped(fields[4])
        # A later mount on the same point hides the earlier one.
        if real.is_relative_to(point) and (found is None or len(point.parts) >= len(found.point.parts)):
            found = Mount(point, kinds[0])
    return found


def planned_mount(path: Path, table: str | None = None) -> Mount | None:
    """The mount that should hold `path`, by the text of /etc/fstab; None where that says nothing of it."""
    if table is None:
        try:
            table = FSTAB.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
    real = Path(os.path.realpath(path))
    found: Mount | None = None
    for row in table.splitlines():
        fields = row.split()
        if len(fields) < 3 or fields[0].startswith("#") or not fields[1].startswith("/"):
            continue
        point = Path(os.path.realpath(_unescaped(fields[1])))
        if real.is_relative_to(point) and (found is None or len(point.parts) >= len(found.point.parts)):
            found = Mount(point, fields[2])
    return found


def is_below(now: Mount, wanted: Mount) -> bool:
    """Whether what holds a path now is only what lies under the mount that it should be on: the mount is missing, or
    where it was a share there is a local file system, as a container shows it."""
    return len(now.point.parts) < len(wanted.point.parts) or (
        now.point == wanted.point and wanted.remote and not now.remote
    )


def _unescaped(field: str) -> Path:
    return Path(_ESCAPE.sub(lambda code: chr(int(code.group(1), 8)), field))
