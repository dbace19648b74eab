"""The image files of a folder, by name, before anybody asks what they show."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from calibrate.datasets.sample import Problem
from calibrate.errors import DataError
from fbclip.images.scans.sniff import is_scan_file
from fbclip.images.side_files import IMAGE_SUFFIXES, is_system_file, is_system_folder, is_unfinished

MAX_FILES = 1_000_000


@dataclass(frozen=True)
class Tree:
    """images: posix paths relative to `root`, sorted; problems: what was passed over."""

    root: Path
    images: tuple[str, ...]
    problems: tuple[Problem, ...]


def folders(file: str) -> tuple[str, ...]:
    """Names of the folders that a relative posix path goes through."""
    return tuple(file.split("/")[:-1])


def stem(file: str) -> str:
    """Name of a relative posix path without folders and suffix."""
    return file.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def walk(root: Path) -> Tree:
    """All images below `root`, told by their suffix, and scans, also by what they begin with; hidden files and folders
    are not looked at, and what systems leave beside images is ignored and counted.

    Links to files inside `root` count as files; links that lead out, and links to folders, which may run in
    circles, are passed over. Raises DataError without images or with more than MAX_FILES files, OSError.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    home = root.resolve()
    images: list[str] = []
    problems: list[Problem] = []
    seen = 0
    ignored = Counter[str]()
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(root / prefix) as found:
            for item in found:
                seen += 1
                if seen > MAX_FILES:
                    raise DataError(f"{root}: more than {MAX_FILES} files; point to a smaller folder")
                name = prefix + item.name
                if item.name.startswith("."):
                    continue
                if what := _ignored(item):
                    ignored[what] += 1
                elif not _writable(item.name):
                    problems.append(Problem("passed over", ascii(name), "a name that is not plain text; left out"))
                elif item.is_symlink() and (fault := _link_fault(Path(item.path), home)):
                    if Path(item.path).is_dir() or _is_image(item.name):
                        problems.append(Problem("passed over", name, f"{fault}; left out"))
                elif item.is_dir():
                    waiting.append(f"{name}/")
                elif item.is_file() and (_is_image(item.name) or is_scan_file(Path(item.path))):
                    images.append(name)
    problems += [Problem("ignored", ".", f"{what}: {count}") for what, count in ignored.items()]
    if not images:
        raise DataError(f"{root}: no images ({', '.join(sorted(IMAGE_SUFFIXES))}) or scans")
    return Tree(root, tuple(sorted(images)), tuple(sorted(problems, key=str)))


def _ignored(item: os.DirEntry[str]) -> str | None:
    if is_system_folder(item.name) and item.is_dir(follow_symlinks=False):
        return "folders of systems, with all that is in them"
    if is_system_file(item.name):
        return "files of systems"
    return "images on their way" if is_unfinished(item.name) and _is_image(item.name) else None


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def _writable(name: str) -> bool:
    """Names become lines of reports and parts of digests: no line breaks, no bytes outside UTF-8."""
    return not any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in name)


def _link_fault(path: Path, home: Path) -> str | None:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return "a link to nothing"
    if not target.is_relative_to(home):
        return "a link that leads out of the data folder"
    return "a link to a folder" if target.is_dir() else None
