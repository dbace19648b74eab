"""The versions of a profile: numbered files in `NAME.history/` beside it, each a whole profile, the newest last.

A version is written before the profile is, so what is lost in a crash is a change, never what was there before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from calibrate.errors import RefusedError
from calibrate.wording import plural
from fbclip.artefacts.profile import Profile
from fbclip.artefacts.profile_file import StoredProfile, read_profile, save_profile
from fbclip.artefacts.seal import ProfileChange, Seal, seal_of
from fbclip.errors import ConfigError, ProfileError
from fbclip.files import file_sha256, write_atomically

MOST_VERSIONS = 100
_NAME = re.compile(r"(\d{4,9})\.yaml")


@dataclass(frozen=True)
class Version:
    """One file of the history; `stored` is None where it cannot be read, for the reason `problem`."""

    number: int
    path: Path
    stored: StoredProfile | None
    problem: str | None = None


def history_folder(profile: Path) -> Path:
    """Where the versions of the profile in this file lie."""
    return profile.with_name(f"{profile.stem}.history")


def versions(profile: Path) -> list[Version]:
    """By rising number; none where there is no folder."""
    return [_version(number, path) for number, path in _files(profile)]


def remember(path: Path) -> None:
    """Keep the file as it is now as a version, unless the newest one says the same; nothing where it is no profile."""
    try:
        files, present = _files(path), read_profile(path)
    except ProfileError:
        return
    newest = _version(*files[-1]).stored if files else None
    if newest is None or _contents(newest) != _contents(present) or newest.seal is not present.seal:
        _add(path, path.read_bytes())


def put(path: Path, profile: Profile, changed: ProfileChange) -> int:
    """Make `profile` the one in this file, and its newest version, whose number is returned. Raises OSError."""
    remember(path)
    kept = _next(path)
    save_profile(profile, kept, changed)
    write_atomically(path, kept.read_bytes())
    _prune(path)
    return int(kept.stem)


def change(by: str, what: str, note: str | None, at: datetime, basis: Seal) -> ProfileChange:
    """Raises ConfigError for a name or note that is empty, too long or not printable."""
    try:
        return ProfileChange(
            at=at, by=by, what=what, note=note, basis="unsealed" if basis is Seal.UNSEALED else "sealed"
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"--{first['loc'][0]}: {first['msg']}; one line of text is asked for") from error


def earlier(path: Path, number: int | None) -> tuple[int, StoredProfile]:
    """The version to go back to: the one named, else the newest that differs from the present one and is not edited.

    Raises RefusedError where there is none, where it was edited, or where its ignore mask or reference picture is
    no longer beside the profile.
    """
    found = {v.number: v.stored for v in versions(path) if v.stored is not None}
    if number is None:
        present = read_profile(path).profile.id
        number = max((n for n, s in found.items() if s.seal is not Seal.EDITED and s.profile.id != present), default=0)
        if not number:
            raise RefusedError(
                f"{path}: there is no earlier version to go back to ({plural(len(found), 'version')} kept)"
            )
    stored = found.get(number)
    if stored is None:
        raise RefusedError(f"{path}: there is no readable version {number}; `calibrate profile history` lists them")
    if stored.seal is Seal.EDITED:
        raise RefusedError(f"{path}: version {number} was edited, so nothing is known of it; choose another one")
    mask, picture = stored.profile.ignore_mask, stored.profile.picture
    moved = None if picture is None else picture.moved
    for what, named in (("ignore mask", mask), ("reference picture", moved)):
        if named is None:
            continue
        beside = path.parent / named.file
        if not (beside.is_file() and file_sha256(beside) == named.sha256):
            raise RefusedError(f"{path}: the {what} of version {number}, {named.file}, is not there any more")
    return number, stored


def current(path: Path, found: Sequence[Version]) -> int | None:
    """The number of the version that the file holds, None where it was changed since."""
    present = read_profile(path)
    same = [
        v.number
        for v in found
        if v.stored is not None and _contents(v.stored) == _contents(present) and v.stored.seal is present.seal
    ]
    return same[-1] if same else None


def _contents(stored: StoredProfile) -> str:
    return seal_of(stored.profile, stored.changed)


def _files(profile: Path) -> list[tuple[int, Path]]:
    folder = history_folder(profile)
    if not folder.is_dir():
        return []
    names = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in names if match is not None)


def _version(number: int, path: Path) -> Version:
    try:
        return Version(number, path, read_profile(path))
    except ProfileError as error:
        return Version(number, path, None, str(error))


def _next(profile: Path) -> Path:
    files = _files(profile)
    return history_folder(profile) / f"{files[-1][0] + 1 if files else 1:04}.yaml"


def _add(profile: Path, data: bytes) -> None:
    write_atomically(_next(profile), data)
    _prune(profile)


def _prune(profile: Path) -> None:
    for _, path in _files(profile)[:-MOST_VERSIONS]:
        path.unlink(missing_ok=True)
