"""A measured profile put where the agent finds it: what lies beside it first, the old one kept as a version."""

from __future__ import annotations

from pathlib import Path

from calibrate.profiles.history import history_folder, remember
from calibrate.threshold.profile import ProfileResult
from fbclip.artefacts.profile_file import save_profile
from fbclip.files import write_atomically


def place_profile(path: Path, result: ProfileResult, mask: Path | None = None) -> None:
    """Write the profile to `path`; `mask` is the image that its ignore mask was read from.

    A profile names its ignore mask and its reference picture by their digests, so they are there before it is.
    """
    if mask is not None and result.profile.ignore_mask is not None:
        write_atomically(path.parent / result.profile.ignore_mask.file, mask.read_bytes())
    moved = None if result.profile.picture is None else result.profile.picture.moved
    if moved is not None and result.picture is not None and result.picture.png is not None:
        write_atomically(path.parent / moved.file, result.picture.png)
    remember(path)
    save_profile(result.profile, path)
    if history_folder(path).is_dir():
        remember(path)
