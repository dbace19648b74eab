"""What the kernel says of a process and of those it started: memory, descriptors, threads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """Resident bytes, descriptors and threads of a process alone; `children`: resident bytes of those it started."""

    resident: int
    descriptors: int
    threads: int
    children: int


def usage(pid: int) -> Usage:
    """Now; raises OSError when the process is gone."""
    own = Path(f"/proc/{pid}")
    below = [child for task in (own / "task").iterdir() for child in _children(task)]
    return Usage(
        resident=_resident(own),
        descriptors=len(list((own / "fd").iterdir())),
        threads=len(list((own / "task").iterdir())),
        children=sum(_resident(Path(f"/proc/{child}")) for child in below),
    )


def _children(task: Path) -> list[str]:
    try:
        return (task / "children").read_text(encoding="ascii").split()
    except OSError:
        return []


def _resident(process: Path) -> int:
    try:
        return int((process / "statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        return 0
