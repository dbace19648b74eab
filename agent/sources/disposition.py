"""A judged file leaves the hot folder: to `done`, or to `failed` with a note why.

Nothing is ever overwritten or deleted, and every step may be done again after a crash.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from agent.errors import SourceError
from agent.sources.settling import REASON_SUFFIX
from fbclip.files import fitting_name, write_atomically
from fbclip.images.header import MAX_BYTES

_LONGEST_SUFFIX = 20
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True)
class FailureNote:
    """What stands in `<name>.reason.json` beside a failed file; a name that would be too long is cut there."""

    reason: str
    verdict: str
    ts: datetime
    line: str
    sha256: str
    original_name: str


@dataclass(frozen=True)
class PrivateNote:
    """What stands in `<reference>.reason.json` beside a failed file of a private line; it does not repeat the name."""

    reason: str
    verdict: str
    ts: datetime
    line: str
    reference: str


class FileGone(SourceError):
    """A judged file that somebody took away: there is nothing left to move."""


def judged_sha256(path: Path) -> str:
    """Hex sha256 of what is read of a file: all of it, or of one too large to be an image its beginning. A file of a
    terabyte, which costs nothing to make, would else hold the recorder for an hour."""
    digest, left = hashlib.sha256(), MAX_BYTES + 1
    with path.open("rb") as stream:
        while block := stream.read(min(left, 1 << 20)):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def folder_of(path: Path, root: Path, out: Path) -> Path:
    """Where below `out` a file of the hot folder `root` belongs: its subfolders keep their structure."""
    return out / path.parent.relative_to(root) if path.is_relative_to(root) else out


def dispose(
    source: Path, folder: Path, sha256: str, note: FailureNote | PrivateNote | None = None, keep: bool = False
) -> Path | None:
    """Move `source`, whose bytes were judged as `sha256`, into `folder`; with `note`, leave the note beside it. With
    `keep` it is copied and stays.

    Returns where it lies now, or None when other bytes lie under its name meanwhile: those are a new file and
    stay. Done again, or by two threads at once, it finds the finished move. Raises FileGone when the file is in neither
    place, OSError when one of the folders is not there or cannot be written.
    """
    try:
        return _disposed(source, folder, sha256, note, keep)
    except FileNotFoundError:
        # It went between two steps: another thread has moved it, or somebody took it away. Which of them, is seen now.
        return _disposed(source, folder, sha256, note, keep)


def _disposed(
    source: Path, folder: Path, sha256: str, note: FailureNote | PrivateNote | None, keep: bool
) -> Path | None:
    there = not source.is_symlink() and source.is_file()
    if not there or judged_sha256(source) != sha256:
        target = _finished(source.name, folder, sha256)
        if target is None and not there:
            # A share that is not mounted has lost no file.
            source.parent.stat()
            raise FileGone("a judged file is neither in its folder nor where it should have been moved")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        target = _copied(source, folder, sha256) if keep else move_into(source, folder)
    if target is not None and note is not None:
        _write_note(target, note)
    return target


def _write_note(target: Path, note: FailureNote | PrivateNote) -> None:
    text = json.dumps({**asdict(note), "ts": note.ts.isoformat(timespec="milliseconds")}, indent=2, sort_keys=True)
    name = note.reference if isinstance(note, PrivateNote) else target.name
    write_atomically(target.with_name(fitting_name(name, REASON_SUFFIX)), (text + "\n").encode())


def candidates(name: str, folder: Path) -> Iterator[Path]:
    """name, name-1, name-2 and so on, before the extension."""
    plain = Path(name)
    stem, suffix = (plain.stem, plain.suffix) if len(plain.suffix) <= _LONGEST_SUFFIX else (name, "")
    yield folder / name
    for number in itertools.count(1):
        yield folder / fitting_name(stem, f"-{number}{suffix}")


def _finished(name: str, folder: Path, sha256: str) -> Path | None:
    """The target of a move that was done before."""
    for target in candidates(name, folder):
        if not target.exists():
            return None
        if judged_sha256(target) == sha256:
            return target
    return None


def move_into(source: Path, folder: Path, durable: bool = True) -> Path:
    """Under its own or a free name like it; returns the new place. Raises OSError. `durable`: on the disk in each step,
    so that a loss of power leaves it under one name.

    A hard link fails where a name is taken, which a rename would overwrite; so link, then unlink.
    """
    for target in candidates(source.name, folder):
        try:
            if target.exists() and target.samefile(source):
                # A crash came between the two steps.
                source.unlink()
            else:
                _link(source, target)
                if durable:
                    _sync(folder)
                source.unlink()
        except FileExistsError:
            continue
        if durable:
            _sync(source.parent)
        return target
    raise AssertionError("the candidates never end")


def _copied(source: Path, folder: Path, sha256: str) -> Path:
    """A copy under a free name, or the one that was made before. Never a second name of the same file, which whoever
    writes to it would change as well."""
    done = _finished(source.name, folder, sha256)
    if done is not None:
        return done
    for target in candidates(source.name, folder):
        try:
            _copy(source, target)
        except FileExistsError:
            continue
        _sync(folder)
        return target
    raise AssertionError("the candidates never end")


def _link(source: Path, target: Path) -> None:
    """Give the file a second name; raises FileExistsError when that is taken."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.EXDEV and error.errno not in _NO_LINKS:
            raise
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    """To another device, or one without hard links: whole under a hidden name first, then under its own."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as out, source.open("rb") as stream:
            shutil.copyfileobj(stream, out)
            out.flush()
            os.fsync(out.fileno())
        shutil.copystat(source, temporary)
        try:
            os.link(temporary, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # Reserve the name first, so that the rename replaces nothing but our own empty file.
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
