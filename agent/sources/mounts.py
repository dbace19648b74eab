"""Which file system holds a folder, as the kernel tells it: can its changes be heard of, and is it still there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
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
        point = Path(_ESCAPE.sub(lambda code: chr(int(code.group(1), 8)), fields[4]))
        # A later mount on the same point hides the earlier one.
        if real.is_relative_to(point) and (found is None or len(point.parts) >= len(found.point.parts)):
            found = Mount(point, kinds[0])
    return found
