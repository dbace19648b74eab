"""Which files of a hot folder are meant, by the patterns of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePath


@dataclass(frozen=True)
class FolderFilter:
    """`include`: none means every file. Case does not count. A pattern with a slash is compared with the path below the
    folder, where `*` stands for slashes as well; any other with the name alone."""

    include: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def takes(self, inner: PurePath) -> bool:
        """`inner`: the path below the hot folder."""
        wanted = not self.include or _matches(inner, self.include)
        return wanted and not _matches(inner, self.ignore)


def _matches(inner: PurePath, patterns: tuple[str, ...]) -> bool:
    name, path = inner.name.lower(), inner.as_posix().lower()
    return any(fnmatchcase(path if "/" in one else name, one.lower()) for one in patterns)
